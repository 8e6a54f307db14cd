"""The book to take away: the site as a zip for reading offline, and all pages as one PDF.

    python -m lorantk.publishing.takeaway zip
    python -m lorantk.publishing.takeaway pdf

write `lorantk-book.zip` and `lorantk-book.pdf` into the built site and offer them on its front page. The PDF is printed by
the system's Chromium from the pages of the site, joined: every number, reference and figure is the site's own.
"""

import argparse
import html as markup
import io
import posixpath
import re
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from lorantk.files import in_words, write_whole
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.locks import locked
from lorantk.publishing.policy import unguarded

NAMES = {"zip": "lorantk-book.zip", "pdf": "lorantk-book.pdf"}
WORDS = {"zip": "these pages for reading offline, as a zip", "pdf": "the whole book as a PDF"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root Chromium has no sandbox of its own; the rest keeps it from asking its maker's servers and from the graphics card.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
OFFER = re.compile(r'(<div class="lorantk-take-away docutils container">\n).*?(</div>)', re.DOTALL)
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
NAVIGATION = re.compile(r'<nav class="bd-links.*?</nav>', re.DOTALL)
ATTRIBUTE = re.compile(r'(?<=[ "])(id|for|aria-labelledby|href|src|loading)="([^"]*)"')
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of every file in a zip, so that equal pages give equal bytes
# A heading of narrower lines also counts for the page before it, and stands twice in the PDF's outline; without pre-wrap the
# outline loses the space at the end of each line.
PRINTED = """
@page { margin: 18mm 16mm; size: A4; }
body { background: white; font-size: 10pt; }
article.bd-article { break-before: page; padding: 0; }
article.bd-article:first-of-type { break-before: auto; }
.headerlink, .copybtn, .lorantk-figure > details, #run-again, .toggle-button, button { display: none !important; }
pre { font-size: 7.5pt; white-space: pre-wrap; }
figure, .lorantk-figure img, .proof > .admonition-title, h1, h2, h3 { break-inside: avoid; }
tr { break-inside: avoid; }
h1, h2, h3, .admonition-title, .lorantk-figure figure { break-after: avoid; }
h1, h2, h3 { line-height: 1.5; white-space: pre-wrap; }
img { max-width: 100%; }
table { font-size: 8.5pt; width: auto; }
.pst-scrollable-table-container, .lorantk-scroll, .cell_output { overflow: visible; }
"""
# What opens on a click is opened, and a formula wider than the column is drawn smaller, as paper does not scroll.
DRAW = "part => MathJax.typesetPromise([document.querySelectorAll('article')[part]])"
LATER = "<script>window.MathJax.startup = {typeset: false};</script>"  # part by part instead, to say how far it is
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


def reading_order(site):
    """Pages of the book in the order of its table of contents, the front page first."""
    navigation = NAVIGATION.search((site / "index.html").read_text())
    if navigation is None:
        raise PublishingError(f"expected a table of contents in {site / 'index.html'}, got none")
    links = re.findall(r'href="([^"#:]+\.html)"', navigation[0])
    return list(dict.fromkeys(["index.html", *links]))


def anchor(page, fragment=""):
    """Name of a place on a page in the joined book."""
    return re.sub(r"\W", "-", page.removesuffix(".html")) + (f"--{fragment}" if fragment else "")


def joined(page, content, pages):
    """The article of one page as a part of the joined book: names made unique, links to pages made links to its parts."""

    def change(found):
        name, value = found[1], markup.unescape(found[2])
        if name in ("id", "for", "aria-labelledby"):
            return f'{name}="{anchor(page, value)}"'
        link = urlsplit(value)
        if name == "loading" or link.scheme or link.netloc:
            return 'loading="eager"' if name == "loading" else found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(link.path))) if link.path else page
        if name == "src":
            return f'src="{target}"'
        if target in pages:
            return f'href="#{anchor(target, link.fragment)}"'
        return ""  # a file of the site: not in a PDF

    return f'<article class="bd-article" id="{anchor(page)}">{ATTRIBUTE.sub(change, content)}</article>'


def join(site):
    """All pages of the book as one page, to lie in the folder `site`."""
    pages = reading_order(site)
    front = (site / "index.html").read_text()
    head = front[: front.index("</head>")].replace('data-theme="auto"', 'data-theme="light"')
    parts = [joined(page, ARTICLE.search((site / page).read_text())[1], pages) for page in pages]
    head = unguarded(head)  # of the front page's scripts; this page is printed and deleted
    scripts = re.sub(r"<script(?![^>]*mathjax)[^>]*src=[^>]*></script>", "", head)
    scripts = re.sub(r"<script data-cfasync.*?</script>", "", scripts, flags=re.DOTALL)
    return f"{scripts}{LATER}<style>{PRINTED}</style></head><body>{''.join(parts)}</body></html>"


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
    from playwright.sync_api import sync_playwright

    executable = find_browser()
    page_file = site / ".joined.html"
    try:
        page_file.write_text(join(site))
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
    """Pack the pages of `site` into the file `target`; the same pages give the same bytes."""
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
    """Link on the front page to what is there to take away."""
    front = site / "index.html"
    links = [
        f'<a href="{name}" download>{WORDS[kind]}</a> ({(site / name).stat().st_size / 1e6:.1f} MB)'
        for kind, name in NAMES.items()
        if (site / name).is_file()
    ]
    page, count = OFFER.subn(lambda found: f"{found[1]}<p>Download {', or '.join(links)}.</p>\n{found[2]}", front.read_text())
    if count != 1:
        raise PublishingError(f"expected one place of class lorantk-take-away in {front}, got {count}")
    write_whole(front, page.encode())


@in_words("lorantk.publishing.takeaway")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if there is no site or no browser."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.takeaway", description=__doc__.splitlines()[0])
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
        print(f"lorantk.publishing.takeaway: {error}", file=sys.stderr)
        return 1
    print(f"done {options.kind} -> {target} ({target.stat().st_size / 1e6:.1f} MB)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
