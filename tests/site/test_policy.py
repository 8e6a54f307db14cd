"""Every page lets run the scripts that it was built with, and nothing that is put into it later.

That pages work so, the explorer included, and that nothing of theirs is refused, the other tests here show: a refused script
is an error on the console.
"""

import pytest
from bs4 import BeautifulSoup

PLANTED = """<script>window.planted = ["element"];</script>
<img src="_static/nowhere.png" alt="planted" onerror="window.planted = [...window.planted ?? [], 'attribute'];">
<a id="planted-link" href="javascript:window.planted = [...window.planted ?? [], 'address'];void 0">planted</a>"""
META = '<meta http-equiv="Content-Security-Policy"'


def test_every_page_has_a_strict_policy(site, page):
    soup = BeautifulSoup((site / page).read_text(), "html.parser")
    [policy] = soup.select("meta[http-equiv=Content-Security-Policy]")
    assert policy.find_previous(["script", "link", "style", "img"]) is None
    rules = dict(rule.split(" ", 1) for rule in policy["content"].split("; "))
    assert "unsafe" not in rules["script-src"]
    assert "*" not in policy["content"]
    assert "http" not in policy["content"]
    assert rules["default-src"] == "'none'"
    assert not soup.select("[onclick], [onload], [onerror]")


def planted(opened, site, policy):
    """What of three scripts put into a page ran, and what the console said; without its policy, as a control, or with it."""
    text = (site / "book/errata.html").read_text()
    assert text.count(META) == 1
    text = text.replace("</article>", f"{PLANTED}</article>").replace(META, META if policy else "<meta")
    opened.context.route("**/book/errata.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    try:
        seen = opened("book/errata.html")
        seen.page.locator("img[alt=planted]").evaluate("image => image.decode().catch(() => 0)")
        seen.page.locator("#planted-link").dispatch_event("click")
        seen.page.wait_for_timeout(300)
        return seen.page.evaluate("window.planted ?? []"), seen.complaints
    finally:
        opened.context.unroute("**/book/errata.html")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_planted_script_does_not_run(visitor, file_visitor, site, scheme):
    opened = {"http": visitor, "file": file_visitor}[scheme]
    ran, complaints = planted(opened, site, policy=False)
    assert ran == ["element", "attribute", "address"]
    ran, complaints = planted(opened, site, policy=True)
    assert ran == []
    assert sum("Content Security Policy" in words for words in complaints) == 3
