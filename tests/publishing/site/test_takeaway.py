"""Joining the pages into one, packing them, and offering both."""

import zipfile

import pytest

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.site import takeaway
from lorantk.publishing.site.finish import parse

MATHJAX = '<script src="vendor/mathjax/tex-chtml.js"></script>'
PAGES = ["index.html", "book/one.html"]
OFFER = '<div class="lorantk-take-away docutils container">\n<p>How to.</p>\n</div>\n<div>after</div>'


@pytest.fixture
def site(tmp_path):
    """A site of two pages."""
    navigation = '<nav class="bd-links"><a href="#">Front</a><a href="book/one.html">One</a></nav>'
    link = '<a href="book/one.html#eq">there</a> <a href="file.csv" download>CSV</a> <a href="https://example.org">out</a>'
    article = f'<article class="bd-article">{link}{OFFER}</article>'
    head = f'<script src="theme.js"></script>{MATHJAX}'
    front = f'<html data-theme="auto"><head>{head}</head><body>{navigation}{article}</body></html>'
    one = '<p id="eq" for="x">E</p><a href="#eq">here</a><a href="../index.html">front</a><img loading="lazy" src="../i.svg">'
    (tmp_path / "book").mkdir()
    (tmp_path / "index.html").write_text(front)
    (tmp_path / "book/one.html").write_text(f'<head></head><article class="bd-article">{one}</article>')
    (tmp_path / ".complete").touch()
    return tmp_path


def test_names_and_links_are_the_joined_books(site):
    book = takeaway.join(site)
    assert book.html["data-theme"] == "light"
    front, one = book.select("article")
    assert [article["id"] for article in (front, one)] == ["index", "book-one"]
    assert (one.p["id"], one.p["for"]) == ("book-one--eq", "book-one--x")
    assert [link.get("href") for link in front.select("a")] == ["#book-one--eq", None, "https://example.org"]
    assert [link.get("href") for link in one.select("a")] == ["#book-one--eq", "#index"]
    assert (one.img["loading"], one.img["src"]) == ("eager", "i.svg")
    assert [str(script) for script in book.select("script")] == [MATHJAX, f"<script>{takeaway.LATER}</script>"]


def test_pages_stand_in_the_order_of_the_table_of_contents(site):
    front = parse(site / "index.html")
    assert takeaway.reading_order(front) == PAGES
    front.nav.decompose()
    with pytest.raises(PublishingError, match="expected a table of contents on the front page, got none"):
        takeaway.reading_order(front)


def test_the_zip_is_the_same_for_the_same_pages(site):
    for name in ("a.zip", "b.zip"):
        takeaway.write_zip(site, site.parent / name)
    assert (site.parent / "a.zip").read_bytes() == (site.parent / "b.zip").read_bytes()
    names = zipfile.ZipFile(site.parent / "a.zip").namelist()
    assert names == ["lorantk-book/book/one.html", "lorantk-book/index.html"]


def test_the_front_page_offers_what_is_there(site, capsys):
    assert takeaway.main(["zip", "--build", str(site.parent)]) == 1  # the site is not in its place
    assert "which `make book` writes, got no such file" in capsys.readouterr().err
    (site / "lorantk-book.zip").write_bytes(b"x" * 1_500_000)
    for _ in range(2):  # a second time changes nothing
        takeaway.offer(site)
        page = (site / "index.html").read_text()
        assert page.count('<a href="lorantk-book.zip" download="">') == 1
        assert "(1.5 MB)." in page
        assert "pdf" not in page
        assert page.count("<div>after</div>") == 1
    (site / "index.html").write_text("<html></html>")
    with pytest.raises(PublishingError, match="expected one place of class lorantk-take-away"):
        takeaway.offer(site)
