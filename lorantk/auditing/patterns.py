"""Match the regular expressions of a configuration in bounded time and memory.

Python's `re` can take exponential time on an expression such as ``(a+)+$``, and a configuration may come from anyone. An
expression that repeats at most one thing is matched here, in polynomial time; any other in a process of its own, which is
stopped when its time is up. Both use `re`, as PEFT does, so that the answer is PEFT's.
"""

import json
import queue
import re
import subprocess
import sys
import threading
import time
import warnings
import weakref

from lorantk.auditing.errors import AuditError, quoted

SECONDS = 4.0  # for all expressions of one configuration; real ones take milliseconds
LENGTH_LIMIT = 10_000  # characters of one expression
REPETITION = re.compile(r"(?<!\()[*+?{]")
PLAIN = re.compile(r"[\w.-]+")  # an expression that cannot be invalid
# What the process runs: expression, method and name in, groups or null out, one JSON value a line.
CHILD = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
except (ImportError, ValueError, OSError):
    pass
for line in sys.stdin:
    expression, method, name = json.loads(line)
    found = getattr(re.compile(expression), method)(name)
    print(json.dumps(found and found.groups()), flush=True)
"""


class Groups(tuple):
    """The groups of a match; true even if there are none."""

    def __bool__(self):
        """A match was found."""
        return True

    def group(self, index: int) -> str | None:
        """Return a group, counted from 1 as in `re`."""
        return self[index - 1]


class Clock:
    """The seconds that are left for matching, and the process that matches what could take longer."""

    def __init__(self, seconds: float | None = None):
        self.left = SECONDS if seconds is None else seconds
        self._child = self._answers = self._end = None

    def _start(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", CHILD]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        child = subprocess.Popen(command, text=True, encoding="utf-8", **pipes)
        answers = queue.SimpleQueue()

        def read():
            for line in child.stdout:
                answers.put(line)
            answers.put("")

        threading.Thread(target=read, daemon=True).start()
        self._child, self._answers = child, answers
        self._end = weakref.finalize(self, _stop, child)

    def ask(self, expression: str, method: str, name: str) -> list | None:
        """Return the groups of a match by the other process; raise TimeoutError if the time is up or the process died."""
        if self._child is None:
            self._start()
        try:
            self._child.stdin.write(json.dumps([expression, method, name]) + "\n")
            self._child.stdin.flush()
            answer = self._answers.get(timeout=max(self.left, 1e-3))
        except (queue.Empty, OSError):
            answer = ""
        if not answer:
            self._end()  # now: the process would go on for as long as something refers to this clock
            self._child = None
            raise TimeoutError
        return json.loads(answer)


def _stop(child) -> None:
    child.kill()
    child.wait()
    child.stdin.close()


class Pattern:
    """An expression that is compiled when first needed, and whose matching takes its time from a clock.

    Parameters
    ----------
    expression
        What is matched.
    where
        What messages call it.
    clock
        The time that it shares with the other expressions of a configuration.
    """

    __slots__ = ("expression", "where", "clock", "_compiled", "_simple")

    def __init__(self, expression: str, where: str, clock: Clock):
        if len(expression) > LENGTH_LIMIT:
            raise AuditError(f"{where}: expected at most {LENGTH_LIMIT} characters, got {quoted(expression)}")
        self.expression, self.where, self.clock = expression, where, clock
        self._compiled = None
        own = expression.removeprefix(r"(.*\.)?")  # PEFT adds it to each name
        self._simple = len(REPETITION.findall(own)) <= 1 and not re.search(r"[)\d][*+{]", own)

    def check(self) -> "Pattern":
        """Return the pattern itself; raise AuditError if it is invalid, or if compiling has used up the time."""
        begin = time.thread_time()
        try:
            with warnings.catch_warnings():  # Python warns about expressions whose meaning may change; PEFT accepts them
                warnings.simplefilter("ignore")
                self._compiled = re.compile(self.expression)
        except (re.error, RecursionError, OverflowError, MemoryError) as error:
            text = f"expected a regular expression, got {quoted(self.expression)} ({error})"
            raise AuditError(f"{self.where}: {text}") from error
        self.pay(time.thread_time() - begin, "")
        return self

    def pay(self, seconds: float, name: str) -> None:
        """Take seconds from the clock; raise AuditError if none are left."""
        self.clock.left -= seconds
        if self.clock.left <= 0:
            text = f"got {quoted(self.expression)}, with which they take more than {SECONDS:g} seconds"
            text += f" on {quoted(name)}" if name else ""
            raise AuditError(f"{self.where}: expected regular expressions that are matched quickly, {text}")

    def _timed(self, method: str, name: str) -> Groups | None:
        if self._compiled is None:
            self.check()
        # Time of the processor here, so that a busy machine does no harm; time on the wall for the other process.
        clock = time.thread_time if self._simple else time.perf_counter
        begin = clock()
        try:
            if self._simple:
                found = getattr(self._compiled, method)(name)
                found = found and found.groups()
            else:
                found = self.clock.ask(self.expression, method, name)
        except TimeoutError:
            self.clock.left = 0.0
        self.pay(clock() - begin, name)
        return None if found is None else Groups(found)

    def match(self, name: str) -> Groups | None:
        """Return the groups of the match at the start of `name`, or None."""
        return self._timed("match", name)

    def fullmatch(self, name: str) -> Groups | None:
        """Return the groups of the match of all of `name`, or None."""
        return self._timed("fullmatch", name)


class Table:
    """Finds which of many patterns match a name; those that are plain names, such as one for each module, by looking them up.

    A dot in a plain name stands for any character. So the end of what it matches is the plain name itself, once the characters in
    the places of its dots are dots.

    Parameters
    ----------
    patterns
        Tuples that begin with a `Pattern` and the text that it was made of.
    """

    def __init__(self, patterns: tuple):
        self.patterns, self._others, self._ends = patterns, [], {}
        for place, (_, literal, *_) in enumerate(patterns):
            if PLAIN.fullmatch(literal):
                dots = tuple(i for i, character in enumerate(literal) if character == ".")
                self._ends.setdefault((len(literal), dots), {}).setdefault(literal, []).append(place)
            else:
                self._others.append(place)

    def hits(self, name: str) -> list[int]:
        """Return the places of the patterns that match `name`, in order."""
        begin, places = time.thread_time(), list(self._others)
        for (length, dots), ends in self._ends.items():
            end = name[-length:]
            if len(end) == length:
                if any(end[i] != "." for i in dots):
                    end = "".join("." if i in dots else character for i, character in enumerate(end))
                places += ends.get(end, ())
        if self.patterns:
            self.patterns[0][0].pay(time.thread_time() - begin, name)
        return [place for place in sorted(places) if self.patterns[place][0].match(name) is not None]
