"""Every link and every embedded file of a page exists on the site."""

from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

REFERENCES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "object": "data"}


@pytest.fixture(scope="session")
def anchors(site):
    """A function that returns the anchors of a page, with a cache."""
    known = {}

    def look_up(path):
        if path not in known:
            soup = BeautifulSoup(path.read_text(), "html.parser")
            known[path] = {tag[key] for key in ("id", "name") for tag in soup.find_all(attrs={key: True})}
        return known[path]

    return look_up


def test_internal_links_resolve(site, anchors, page):
    here = site / page
    soup = BeautifulSoup(here.read_text(), "html.parser")
    broken = []
    for tag, attribute in REFERENCES.items():
        for element in soup.find_all(tag, attrs={attribute: True}):
            link = urlsplit(element[attribute])
            if link.scheme or link.netloc:
                continue
            target = (here.parent / unquote(link.path)).resolve() if link.path else here
            target = target / "index.html" if target.is_dir() else target
            found = target.is_file() and target.is_relative_to(site)
            if not found or (link.fragment and target.suffix == ".html" and unquote(link.fragment) not in anchors(target)):
                broken.append(element[attribute])
    assert broken == []
