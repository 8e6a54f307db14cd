"""Says how long a run of tests will still take: from what each test took last time, else from the mean of this run."""

import time

from lorantk.publishing.build import words_left

EVERY = 20  # seconds from one line to the next
KEY = "time-left/seconds"


class TimeLeft:
    """A pytest plugin for the process that reports; the workers of pytest-xdist run the tests."""

    def __init__(self, config):
        self.config = config
        self.usual = config.cache.get(KEY, {})
        self.workers = max(1, getattr(config.option, "numprocesses", None) or 1)
        self.waiting, self.taken, self.said = set(), {}, time.monotonic()

    def pytest_collection_finish(self, session):
        """Note the tests of a run in one process."""
        self.waiting |= {item.nodeid for item in session.items}

    def pytest_xdist_node_collection_finished(self, ids):
        """Note the tests of a run in several."""
        self.waiting |= set(ids)

    def pytest_runtest_logreport(self, report):
        """Count what a phase of a test took, and say now and then what is left."""
        self.taken[report.nodeid] = self.taken.get(report.nodeid, 0.0) + report.duration
        if report.when == "teardown":
            self.waiting.discard(report.nodeid)
            if self.waiting and time.monotonic() - self.said > EVERY:
                self.said = time.monotonic()
                reporter = self.config.pluginmanager.get_plugin("terminalreporter")
                reporter.ensure_newline()
                reporter.write_line(words_left(len(self.waiting), self.seconds_left()))

    def seconds_left(self):
        """The usual time of each test that is left, times how fast this run is; the mean where a test has no usual time."""
        mean = sum(self.taken.values()) / max(1, len(self.taken))
        both = [name for name in self.taken if name in self.usual]
        usual = sum(self.usual[name] for name in both)
        pace = sum(self.taken[name] for name in both) / usual if usual else 1.0
        return sum(self.usual[name] * pace if name in self.usual else mean for name in self.waiting) / self.workers

    def pytest_sessionfinish(self):
        """Keep what each test took."""
        self.config.cache.set(KEY, self.usual | {name: round(seconds, 3) for name, seconds in self.taken.items()})
