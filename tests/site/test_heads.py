"""The head of every page: a description of its own, a preview that exists, and linked data that schema.org knows."""

from urllib.parse import unquote

from bs4 import BeautifulSoup
from linked_data import complaints, objects

WITHOUT_TEXT = ("genindex.html", "search.html")  # pages that Sphinx makes


def test_a_page_describes_itself(site, page):
    if page in WITHOUT_TEXT:
        return
    here = site / page
    soup = BeautifulSoup(here.read_text(), "html.parser")
    [description] = soup.select("head meta[name=description]")
    assert 20 <= len(description["content"]) <= 300
    tags = {tag["property"]: tag["content"] for tag in soup.select("head meta[property]")}
    image = tags["og:image"] if "://" in tags["og:image"] else here.parent / unquote(tags["og:image"])
    assert "://" in str(image) or image.read_bytes()[1:4] == b"PNG"
    assert tags["og:image:alt"].strip()
    assert list(complaints(objects(soup), page)) == []
    verdicts = {part["id"].removeprefix("verdict-") for part in soup.select("[id^=verdict-]")}
    reviewed = {entry["itemReviewed"]["identifier"] for entry in objects(soup) if entry["@type"] == "ClaimReview"}
    assert reviewed == verdicts
