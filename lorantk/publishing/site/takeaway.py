"""The book for reading offline: the site as a zip, and all pages as one PDF.

    python -m lorantk.publishing.site.takeaway zip
    python -m lorantk.publishing.site.takeaway pdf

write `lorantk-book.zip` and `lorantk-book.pdf` into the built site and offer them on its front page. The system's Chromium
prints the PDF from the joined pages of the site, so that every number, reference and figure is the same as there.

Sphinx's own builder of a single page, `singlehtml`, is not used: it keeps the ids of the pages, many of which then occur
several times, so that links to citations and sections lead to the wrong place.
"""

import argparse
import io
import posixpath
import re
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from tqdm import tqdm

from lorantk.disk import in_words, write_whole
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.locks import locked
from lorantk.publishing.site.finish import parse, write

NAMES = {"zip": "lorantk-book.zip", "pdf": "lorantk-book.pdf"}
WORDS = {"zip": "these pages for reading offline, as a zip", "pdf": "the whole book as a PDF"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium has no sandbox when run as root; the rest keeps it from contacting other servers and from using the graphics card.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
NAMING = ("id", "for", "aria-labelledby")
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that equal pages give equal bytes
# With narrower lines, a heading is assigned to the previous page too and appears twice in the PDF's outline; without pre-wrap
# the outline loses the space at the end of each line.
PRINTED = """
@page { margin: 18mm 16mm; size: A4; }
body { background: white; font-size: 10pt; }
article.bd-article { break-before: page; padding: 0; }
article.bd-article:first-of-type { break-before: auto; }
.headerlink, .copybtn, .lorantk-figure > details, [id$="--run-again"], .toggle-button, button { display: none !important; }
pre { font-size: 7.5pt; white-space: pre-wrap; }
figure, .lorantk-figure img, .proof > .admonition-title, h1, h2, h3 { break-inside: avoid; }
tr { break-inside: avoid; }
h1, h2, h3, .admonition-title, .lorantk-figure figure { break-after: avoid; }
h1, h2, h3 { line-height: 1.5; white-space: pre-wrap; }
img { max-width: 100%; }
table { font-size: 8.5pt; width: auto; }
.pst-scrollable-table-container, .lorantk-scroll, .cell_output { overflow: visible; }
"""
# Parts that open on a click are opened, and a formula wider than the column is drawn smaller, because paper does not scroll.
DRAW = "part => MathJax.typesetPromise([document.querySelectorAll('article')[part]])"
LATER = "window.MathJax.startup = {typeset: false};"  # instead part by part, to show progress
PREPARE = """async () => {
    await document.fonts.ready;
    document.querySelectorAll('details').forEach(part => { part.open = true; });
    await Promise.allSettled([...document.images].map(image => image.decode()));
    for (const formula of document.querySelectorAll('mjx-container[display]')) {
        const ratio = formula.parentElement.clientWidth / formula.firstElementChild.getBoundingClientRect().width;
        if (ratio < 1) formula.style.fontSize = `${Math.floor(parseFloat(formula.style.fontSize) * ratio * 0.97)}%`;
    }
}"""
FOOTER = '<div style="font-size: 8px; text-align: center; width: 100%"><span class="pageNumber"></span></div>'


def reading_order(front):
    """The paths of the book's pages in the order of the table of contents, beginning with the front page.

    Raises
    ------
    PublishingError
        If the front page has no table of contents.
    """
    navigation = front.select_one("nav.bd-links")
    if navigation is None:
        raise PublishingError("expected a table of contents on the front page, got none")
    links = (link["href"] for link in navigation.select("a[href$='.html']"))
    return list(dict.fromkeys(["index.html", *(link for link in links if not urlsplit(link).scheme)]))


def anchor(page, fragment=""):
    """The name that a place on a page has in the joined book."""
    return re.sub(r"\W", "-", page.removesuffix(".html")) + (f"--{fragment}" if fragment else "")


def adapt(article, page, pages):
    """Make the article of one page a part of the joined book.

    Its names become unique, links to pages become links to parts, and links to other files of the site are dropped.
    """
    for tag in article.find_all(True):
        for name in NAMING:
            if name in tag.attrs:
                tag[name] = anchor(page, tag[name])
        if "loading" in tag.attrs:
            tag["loading"] = "eager"
        for name in ("src", "href"):
            link = urlsplit(tag.get(name, ""))
            if name not in tag.attrs or link.scheme or link.netloc:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(link.path))) if link.path else page
            if name == "src":
                tag["src"] = target
            elif target in pages:
                tag["href"] = f"#{anchor(target, link.fragment)}"
            else:
                del tag["href"]
    article["id"] = anchor(page)


def join(site):
    """All pages of the book as one page, for a file in the folder `site`."""
    book = parse(site / "index.html")
    pages = reading_order(book)
    book.html["data-theme"] = "light"
    for script in book.head.find_all("script"):
        if "mathjax" not in str(script).lower():
            script.decompose()
    book.head.append(book.new_tag("script", string=LATER))
    book.head.append(book.new_tag("style", string=PRINTED))
    book.body.clear()
    for page in pages:
        article = parse(site / page).select_one("article.bd-article")
        adapt(article, page, pages)
        book.body.append(article.extract())
    return book


def find_browser():
    """The path of the system's Chromium.

    Raises
    ------
    PublishingError
        If there is none.
    """
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        names = ", ".join(BROWSERS)
        raise PublishingError(f"expected one of {names} on the PATH, got none; install one, on Debian by `apt install chromium`")
    return executable


def write_pdf(site, target):
    """Print the joined pages of `site` into the file `target`.

    Raises
    ------
    PublishingError
        If there is no Chromium.
    """
    executable = find_browser()
    from playwright.sync_api import sync_playwright

    page_file = site / ".joined.html"
    try:
        write(join(site), page_file)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            page = browser.new_page(viewport={"width": 720, "height": 1000})
            page.set_default_timeout(600_000)
            page.emulate_media(media="print")
            page.goto(page_file.resolve().as_uri(), wait_until="load")
            page.evaluate("() => MathJax.startup.promise")
            for part in tqdm(range(page.locator("article").count()), "drawing", unit="page", file=sys.stdout, disable=None):
                page.evaluate(DRAW, part)
            print("printing", flush=True)
            page.evaluate(PREPARE)
            content = page.pdf(
                prefer_css_page_size=True,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                outline=True,
                tagged=True,
            )
            browser.close()
    finally:
        page_file.unlink(missing_ok=True)
    write_whole(target, content)


def write_zip(site, target):
    """Pack the pages of `site` into the file `target`; equal pages give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(site.rglob("*")):
            name = path.relative_to(site)
            if path.is_file() and not name.name.startswith(".") and name.as_posix() not in NAMES.values():
                entry = zipfile.ZipInfo(f"lorantk-book/{name.as_posix()}", FIRST_DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    write_whole(target, stream.getvalue())


def offer(site):
    """Link on the front page to the zip and the PDF, if they exist."""
    front = site / "index.html"
    links = [
        f'<a href="{name}" download>{WORDS[kind]}</a> ({(site / name).stat().st_size / 1e6:.1f} MB)'
        for kind, name in NAMES.items()
        if (site / name).is_file()
    ]
    page = parse(front)
    places = page.select("div.lorantk-take-away")
    if len(places) != 1:
        raise PublishingError(f"expected one place of class lorantk-take-away in {front}, got {len(places)}")
    places[0].clear()
    places[0].append(BeautifulSoup(f"<p>Download {', or '.join(links)}.</p>", "html.parser"))
    write(page, front)


@in_words("lorantk.publishing.site.takeaway")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if there is no site or no browser."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.site.takeaway", description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=NAMES)
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder that `make book` wrote")
    options = parser.parse_args(arguments)
    site = options.build / "site"
    target = site / NAMES[options.kind]
    try:
        with locked(options.build / ".site.lock"):
            if not (site / "index.html").is_file():
                raise PublishingError(f"expected {site / 'index.html'}, which `make book` writes, got no such file")
            {"zip": write_zip, "pdf": write_pdf}[options.kind](site, target)
            offer(site)
    except PublishingError as error:
        print(f"lorantk.publishing.site.takeaway: {error}", file=sys.stderr)
        return 1
    print(f"done {options.kind} -> {target} ({target.stat().st_size / 1e6:.1f} MB)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
