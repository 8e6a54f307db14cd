"""A headless Chromium and a local server for the built site."""

import functools
import http.server
import json
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.site.takeaway import FLAGS, find_browser

SITE = Path("_build/site").resolve()
AXE = Path(".npm/node_modules/axe-core/axe.min.js").resolve()
# A promise to await, not a condition to poll: polling waits for frames, which a static page may not draw.
MATHJAX_DONE = "async () => { if (window.MathJax) await MathJax.startup.promise; }"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without logging each one; the browser may cache them, as with a real server."""

    def log_message(self, *arguments):
        """Say nothing."""

    def end_headers(self):
        """Let the browser cache files for the duration of the tests."""
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()


@dataclass
class Visit:
    """A page in the browser and what happened while it loaded."""

    page: object
    complaints: list = field(default_factory=list)
    outside: list = field(default_factory=list)
    size: int = 0  # bytes that came from the server, not from the browser's cache


@pytest.fixture(scope="session")
def site():
    """The folder of the built site."""
    if not (SITE / "index.html").is_file():
        pytest.fail(f"expected a built site in {SITE}, got none: run `make book` first", pytrace=False)
    return SITE


@pytest.fixture(scope="session")
def screenshots(site):
    """The folder for screenshots."""
    folder = site.with_name("screenshots")
    folder.mkdir(exist_ok=True)
    return folder


class Run:
    """A pytest plugin for the reporting process: it prepares the run and saves the measurements in `_build/pages.json`."""

    PATH = SITE.with_name("pages.json")

    def __init__(self):
        self.entries = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self):
        """Stop at once if there is no browser; otherwise delete the last run's screenshots, if there is a site for new ones."""
        try:
            find_browser()
        except PublishingError as error:
            pytest.exit(str(error), returncode=1)
        if (SITE / "index.html").is_file():
            shutil.rmtree(SITE.with_name("screenshots"), ignore_errors=True)

    def pytest_runtest_logreport(self, report):
        """Record what a test passed to `measured`."""
        if report.when == "call":
            for page, entry in report.user_properties:
                self.entries.setdefault(page, {}).update(entry)

    def pytest_terminal_summary(self, terminalreporter):
        """Write all of it, and say which page took longest; there is no bound, since this depends on the machine."""
        if self.entries:
            self.PATH.write_text(json.dumps(self.entries, indent=1, sort_keys=True) + "\n")
            took, page = max((entry.get("milliseconds_to_mathematics", 0), page) for page, entry in self.entries.items())
            terminalreporter.write_line(f"mathematics rendered from disk after at most {took} ms ({page}), see {self.PATH.name}")


def pytest_configure(config):
    """Register the plugin; the workers of pytest-xdist pass on what they measured."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Run())


@pytest.fixture
def measured(record_property):
    """A function with which a test records what it measured on a page, by name."""
    return lambda page, **entry: record_property(page, entry)


@pytest.fixture(scope="session")
def axe():
    """The accessibility checker, as the text of its script."""
    if not AXE.is_file():
        pytest.fail(f"expected axe-core in {AXE}, got none: run `make check-site`, which fetches it by npm", pytrace=False)
    return AXE.read_text()


@pytest.fixture(scope="session")
def origin(site):
    """The address of a local server of the site."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, headless."""
    from playwright.sync_api import sync_playwright  # which a machine without Chromium does not need

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Open pages of the site in one browser context; each page closes when the next one opens."""

    def __init__(self, context, root):
        self.context, self.root, self.last = context, root, None

    def __call__(self, page, width=1280, anchor=""):
        """Open `page`, wait until its mathematics is drawn, and return the visit."""
        if self.last is not None:
            self.last.close()
        self.last = self.context.new_page()
        seen = Visit(self.last)
        self.last.set_viewport_size({"width": width, "height": 900})
        seen.page.on("console", lambda m: m.type in ("warning", "error") and seen.complaints.append(m.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("requestfailed", lambda request: seen.complaints.append(f"no answer for {request.url}"))
        seen.page.on(
            "request",
            lambda request: request.url.startswith((self.root, "data:", "blob:")) or seen.outside.append(request.url),
        )
        network = self.context.new_cdp_session(self.last)
        network.send("Network.enable")

        def add(event):
            seen.size += max(event["encodedDataLength"], 0)

        network.on("Network.loadingFinished", add)
        seen.page.goto(f"{self.root}/{page}{anchor}", wait_until="load")
        seen.page.evaluate(MATHJAX_DONE)
        if self.root.startswith("http"):  # drawings load late, when they come near the window
            seen.page.wait_for_load_state("networkidle")
        return seen


def visitor_of(browser, root, **options):
    """Yield a visitor with a separate context."""
    context = browser.new_context(reduced_motion="reduce", **options)
    try:
        yield Visitor(context, root)
    finally:
        context.close()


@pytest.fixture(scope="session")
def visitor(browser, origin):
    """Open pages over HTTP; the front page is visited first, its size is recorded, and what it fetched stays cached."""
    for found in visitor_of(browser, origin):
        found.first_visit = found("index.html").size
        yield found


@pytest.fixture(scope="session")
def file_visitor(browser, site):
    """Open pages from the file system."""
    yield from visitor_of(browser, site.as_uri())


@pytest.fixture(scope="session")
def plain_visitor(browser, site):
    """Open pages from the file system, without scripts."""
    yield from visitor_of(browser, site.as_uri(), java_script_enabled=False)


def pages():
    """Return the paths of all pages, relative to the built site, with the front page first."""
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
    return sorted(found, key=lambda page: page != "index.html") or ["index.html"]


def pytest_generate_tests(metafunc):
    """Run a test with the argument `page` once for every page, unless it names its pages."""
    marked = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "page" in metafunc.fixturenames and "page" not in marked:
        metafunc.parametrize("page", pages())
