"""What the site offers for download: the zip and the PDF."""

import re
import zipfile

import pytest
from bs4 import BeautifulSoup

from lorantk.publishing.site.finish import parse
from lorantk.publishing.site.takeaway import NAMES, join, reading_order


@pytest.fixture(scope="module")
def pages(site):
    """Paths of the book's pages."""
    return reading_order(parse(site / "index.html"))


@pytest.fixture
def offered(site):
    """The files that the front page offers, by kind."""
    links = BeautifulSoup((site / "index.html").read_text(), "html.parser").select(".lorantk-take-away a[download]")
    kinds = {link["href"].rpartition(".")[2]: site / link["href"] for link in links}
    if kinds.keys() != NAMES.keys():
        pytest.fail(f"expected zip and PDF on the front page, got {list(kinds)}: run `make zip pdf` first", pytrace=False)
    return kinds


def test_the_zip_holds_every_page(site, offered):
    with zipfile.ZipFile(offered["zip"]) as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("lorantk-book/") for name in archive.namelist()}
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert pages <= names
    assert not names & set(NAMES.values())
    assert any(name.startswith("vendor/mathjax/") for name in names)


def test_the_pdf_has_every_chapter_with_links_and_an_outline(pages, offered):
    content = offered["pdf"].read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    count = len(re.findall(rb"/Type\s*/Page\b", content))
    assert count >= 2 * len(pages)
    assert len(re.findall(rb"/Subtype\s*/Link\b", content)) > 100
    assert b"/Outlines" in content
    assert b"/StructTreeRoot" in content  # headings and alternative texts are there for screen readers


def test_the_outline_has_the_title_of_every_page_once(site, pages, offered):
    strings = re.findall(rb"/Title (?:\(((?:\\.|[^\\()])*)\)|<FEFF([0-9A-F]+)>)", offered["pdf"].read_bytes())
    plain = [re.sub(r"\\(.)", r"\1", text.decode("latin-1")) for text, _ in strings if text]
    titles = plain + [bytes.fromhex(text.decode()).decode("utf-16-be") for _, text in strings if text]
    for page in pages:
        heading = BeautifulSoup((site / page).read_text(), "html.parser").select_one("article h1")
        if not heading.select(".math"):  # formulas are drawn as shapes, not as text
            assert heading.text.removesuffix("#").strip() in titles, page


def test_links_of_the_joined_book_lead_into_it(site, pages):
    book = join(site).body
    anchors = {tag["id"] for tag in book.find_all(id=True)}
    links = [link["href"] for link in book.find_all("a", href=True)]
    assert [link for link in links if link.startswith("#") and link[1:] not in anchors] == []
    assert all(link.startswith(("#", "http", "mailto:")) for link in links)
    assert len(book.find_all("article", class_="bd-article")) == len(pages)
    assert all((site / image["src"]).is_file() for image in book.find_all("img"))
    numbers = [part.text.strip() for part in book.select(".proof > .admonition-title > .caption-number")]
    theorems = [word for word in numbers if word.startswith("Theorem")]
    assert len(theorems) == len(set(theorems)) > 0
