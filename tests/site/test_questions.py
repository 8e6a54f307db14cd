"""Questions of three kinds of readers, each answered within two clicks from the front page and one minute of reading."""

import re
from posixpath import dirname, join, normpath

import pytest
from bs4 import BeautifulSoup

MINUTE = 250  # words
# Each question: the links to click, one after the other, and a pattern of the answer.
FINE_TUNER = {
    "Is LoRA easier to poison than full fine-tuning?": ([], r"lost \d.* points more accuracy to flipped labels with LoRA"),
    "Which rank should I choose?": (["book/fine_tuning.html"], r"Rank Choose it for accuracy"),
    "Which setting protects against a backdoor?": (["book/fine_tuning.html"], "do not count on any of these settings"),
    "Do the theorems apply to the adapter that I saved?": (
        ["book/fine_tuning.html", "#do-the-theorems-apply-to-my-adapter"],
        "lorantk audit",
    ),
}
REFEREE = {
    "Are the verdicts on the poster or on the whole paper?": (["#scoreboard"], "words on the paper’s poster"),
    "What is the smallest example against the printed condition?": (["notebooks/10_nsd.html#certificate-nsd"], "conclusion"),
    "Could the verdicts on the findings have come out otherwise?": (["notebooks/38_verdicts.html"], "rule"),
    "How often do the book's own checks fail by chance?": (
        ["book/trust.html", "#would-the-book-fail-by-bad-luck"],
        r"chance .*\d",
    ),
}
STUDENT = {
    "Where do I start, and what must I know?": (["book/chapters.html"], "linear algebra"),
    "What is the tangent kernel?": (["book/glossary.html"], "inner products of the gradients"),
    "What is LoRA's kernel?": (["#in-brief"], "full fine-tuning plus a quadratic form for each adapted layer"),
    "How do I run a chapter with numbers of my own?": (
        ["book/reproduce.html", "#one-chapter-with-other-parameters"],
        "make notebook",
    ),
}
QUESTIONS = FINE_TUNER | REFEREE | STUDENT


def read(site, page, anchor):
    """Return the words of a page from its top or from the part with a given id."""
    article = BeautifulSoup((site / page).read_text(), "html.parser").select_one("article")
    start = article.find(id=anchor) if anchor else article
    following = [start, *start.find_all_next(string=True)] if anchor else article.find_all(string=True)
    texts = [text for text in following if isinstance(text, str) and text.parent.name not in ("script", "style")]
    return " ".join(texts).split()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_within_two_clicks_and_a_minute(site, question):
    clicks, answer = QUESTIONS[question]
    assert len(clicks) <= 2
    page, anchor = "index.html", ""
    for click in clicks:
        links = BeautifulSoup((site / page).read_text(), "html.parser").find_all("a", href=True)
        reached = {normpath(join(dirname(page), link["href"])) if link["href"][0] != "#" else link["href"] for link in links}
        assert click in reached, f"no link to {click} on {page}"
        path, _, anchor = click.partition("#")
        page = path or page
    text = " ".join(read(site, page, anchor)[:MINUTE])
    assert re.search(answer, text), text
