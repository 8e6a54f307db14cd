"""Build the site from the staged sources, with every warning an error, and swap it in when it is complete."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from lorantk.disk import in_words, refusal, write_whole
from lorantk.fingerprint import content_hash, files
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.locks import locked
from lorantk.publishing.site.finish import finish
from lorantk.publishing.site.search import shorten
from lorantk.publishing.site.stage import CONFIGURATION, layout, write_stage

COMPLETE = ".complete"
UNUSED = ("*webpack-macros.html", "vendor/fontawesome/*/js", "vendor/fontawesome/*/webfonts/*.ttf", "locales", "**/*.map")


def configuration_hash(stage):
    """A hash of what every page depends on: configuration, table of contents, templates and the Sphinx extension."""
    everywhere = [stage / name for name in CONFIGURATION]
    return content_hash(files(*everywhere, stage / "book/_templates", Path(__file__).parent))


def build(stage, work, log):
    """Run Jupyter Book on `stage` and return the folder with the finished pages.

    Sphinx keeps the parsed sources in `work` for the next build. They are deleted if the last build did not
    succeed (its warnings would not be repeated) and if the configuration changed (every page shows the table of
    contents). All pages are written each time, because numbers and titles of one page appear on others.

    Raises
    ------
    subprocess.CalledProcessError
        If Jupyter Book fails or warns; its messages are in `log`.
    OSError
        If it fails because the disk is full.
    """
    marker = work / "last-good"
    state = configuration_hash(stage)
    if not marker.is_file() or marker.read_text() != state:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    html = work / "_build/html"
    shutil.rmtree(html, ignore_errors=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "--path-output", work]
    # Not straight into the log: a disk without room for pages has no room for the messages about it either.
    done = subprocess.run([*command, "-W", "-n", "--keep-going"], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode and (refused := refusal(done.stdout.decode(errors="replace"))):
        raise refused
    write_whole(log, done.stdout)
    done.check_returncode()
    marker.write_text(state)
    return html


def tidy(html):
    """Remove what the theme copies into a site and no page uses: templates, scripts, translations."""
    for pattern in UNUSED:
        for path in (html / "_static").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def swap_in(html, site):
    """Finish the pages in `html` and replace the old `site` by them."""
    tidy(html)
    shorten(html, finish(html))
    (html / ".nojekyll").touch()
    (html / COMPLETE).touch()
    old = site.with_name(f".{site.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    html.rename(site)
    shutil.rmtree(old, ignore_errors=True)


def publish(folder):
    """Stage, build and swap in the site below `folder`; 0 on success, 1 if Jupyter Book fails or warns."""
    print("running site", flush=True)
    write_stage(layout(Path("."), folder), folder / "stage")
    log = folder / "site.log"
    try:
        html = build(folder / "stage", folder / "sphinx", log)
    except subprocess.CalledProcessError:
        lines = log.read_text().splitlines()
        telling = [line for line in lines if any(word in line for word in ("WARNING", "ERROR", "Error"))]
        print("FAILED site\n" + "\n".join(telling or lines[-30:]) + f"\nfull log: {log}", flush=True)
        return 1
    swap_in(html, folder / "site")
    print(f"done site -> {folder / 'site' / 'index.html'}", flush=True)
    return 0


@in_words("lorantk.publishing.site.build")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if something is missing or Jupyter Book fails or warns."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.site.build", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    try:
        with locked(options.build / ".site.lock"):
            return publish(options.build)
    except PublishingError as error:
        print(f"lorantk.publishing.site.build: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
