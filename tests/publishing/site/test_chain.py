"""The argument as a picture: what it draws, and what it says to readers who do not see it."""

import re

import pytest
from bs4 import BeautifulSoup

from lorantk.publishing.notebook.verdicts import VERDICTS
from lorantk.publishing.site.chain import COLUMNS, LINE, STATES, WIDTH, Link, draw
from lorantk.publishing.site.sphinx_ext.pieces import NOT_YET

WHOLE = Link("one thing", "holds exactly", "a.html#verdict-a", {})
MENDED = Link("a < b in the limit", "holds in the limit", "b.html#verdict-b", {"2": "two.html"})
BROKEN = Link("word " * 20, "fails as printed", "c.html#verdict-c", {"3": "three.html", "4": "four.html"})
LOOSE = Link("another", NOT_YET, "", {})


@pytest.fixture
def picture():
    """The picture of a chain with a link in each state."""
    return BeautifulSoup(draw({"First part": [WHOLE, MENDED], "Second part": [BROKEN, LOOSE]}), "html.parser").svg


def test_each_link_leads_to_its_verdict_and_to_what_holds_instead(picture):
    addresses = [link["href"] for link in picture.select("a")]
    assert addresses == ["a.html#verdict-a", "b.html#verdict-b", "two.html", "c.html#verdict-c", "three.html", "four.html"]
    assert "instead: chapters 3, 4" in picture.text
    assert "a < b in the limit" in picture.text


def test_its_description_counts_the_links(picture):
    assert picture["aria-label"].startswith("A chain of 4 links from top to bottom: 1 whole (holds as printed), 1 mended")
    assert "1 broken (fails as printed), 1 loose" in picture["aria-label"]


def test_states_differ_in_more_than_colour(picture):
    rings = picture.select("g")
    shapes = [re.sub(r"[\d.]+|lorantk-\w+", "", str(ring)) for ring in rings]
    assert len(set(shapes[:3])) == 3
    assert rings[3].rect["stroke-dasharray"] != rings[0].rect["stroke-dasharray"]


def test_text_stays_inside_and_lines_apart(picture):
    heights = [float(line["y"]) for line in picture.select("tspan[y], text[y]")]
    assert all(later - earlier >= LINE for earlier, later in zip(heights, heights[1:], strict=False))
    assert max(len(line.text) for line in picture.select("tspan")) <= COLUMNS
    _, _, width, height = map(float, picture["viewbox"].split())
    assert width == WIDTH
    assert max(heights) < height


def test_every_verdict_has_a_state():
    for verdict in {NOT_YET}.union(*VERDICTS.values()):
        assert Link("", verdict, "", {}).state in STATES
