"""The content security policy of a page."""

import pytest

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.policy import guarded, policy, script_hash, scripts_in_attributes

META = '<meta charset="utf-8" />'
PAGE = f"<html><head>{META}<script>\n let a = 1;\n</script>{{}}</head><body></body></html>"


def test_a_policy_names_the_inline_scripts_of_its_page_alone():
    # By `printf 'alert(1)' | openssl dgst -sha256 -binary | base64`.
    assert script_hash("alert(1)") == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    others = '<script src="a.js" defer></script><script type="application/json">{}</script>'
    page = PAGE.format(f"{others}<script>\n let a = 1;\n</script>")
    rules = dict(rule.split(" ", 1) for rule in policy(page).split("; "))
    assert rules["script-src"] == f"'self' {script_hash(chr(10) + ' let a = 1;' + chr(10))}"
    assert rules["default-src"] == rules["base-uri"] == "'none'"
    assert "http" not in policy(page)
    assert "unsafe-eval" not in policy(page)
    assert "script-src 'self'; " in policy("<html></html>")


def test_a_page_has_its_policy_before_anything_that_it_is_about():
    page = guarded(PAGE.format("<p>é</p>"))
    assert page.startswith(f'<html><head>{META}<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ')
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert page.endswith("<p>é</p></head><body></body></html>")


def test_the_themes_buttons_say_what_they_do_without_a_script():
    buttons = '<button onclick="window.print()"></button><button onclick="toggleFullScreen()" class="x"></button>'
    page = guarded(PAGE.format(buttons))
    assert '<button data-lorantk-click="print"></button><button data-lorantk-click="toggleFullScreen" class="x">' in page


@pytest.mark.parametrize(
    "tag",
    [
        '<img src="x" onerror="go()">',
        "<body ONLOAD = go()>",
        '<a href="javascript:go()">',
        "<a href=' javascript:go()'>",
        "<p\nonclick=x>",
    ],
)
def test_scripts_in_attributes_have_no_page(tag):
    with pytest.raises(PublishingError, match="expected no script in an attribute, got <"):
        guarded(PAGE.format(tag))


def test_words_are_no_scripts():
    assert scripts_in_attributes('<img alt="the line one=1, onload=2" src="a.svg"> <p> onset=1 &lt;p onclick=x&gt;') == []


def test_a_page_that_only_leads_on_has_a_policy_too():
    page = '<meta http-equiv="Refresh" content="0; url=notebooks/10_nsd.html" />'
    assert guarded(page) == f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}">{page}'
