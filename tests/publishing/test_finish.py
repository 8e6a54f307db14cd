"""Finishing pages: what is dropped, repaired and added."""

import re

import pytest

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.finish import accessible, drawn_late, element, finish, labelled, light, plain_tex

HEAD = '<html><head><meta charset="utf-8" /></head>'
THEOREM = (
    '<div class="proof theorem admonition" id="thm-x">\n<p class="admonition-title">Theorem 1</p>'
    '<p>If <span class="math notranslate nohighlight">\\(a &lt; b\\)</span>, see <a href="other.html#y">there</a>'
    '<a class="headerlink" href="#thm-x">#</a><br>and <img src="a.png" alt="no"> so on.</p></div>'
)


def test_code_keeps_its_text_and_its_colours():
    code = '<pre><span class="kn">import</span><span class="w"> </span><span class="n">jax</span><span class="p">(</span></pre>'
    assert light(code) == '<pre><span class="kn">import</span> jax(</pre>'


def test_formulas_have_a_plain_form():
    assert plain_tex(r"M_\Delta") == "MΔ"
    assert plain_tex(r"c = s^2 r \sigma_a^2") == "c = s² r σa²"


def test_names_are_the_words_shown():
    page = '<button class="btn search-button-field search-button__button" title="Search" aria-label="Search">Search</button>'
    assert "aria-label" not in accessible(page)
    assert accessible('<summary aria-label="Toggle hidden content">Show</summary>') == "<summary>Show</summary>"
    assert 'tabindex="0"' in accessible('<div class="pst-scrollable-table-container"><table></table></div>')
    symbol = '<a class="lorantk-symbol reference internal" href="n.html#s"><span class="math x">\\(\\sigma_a^2\\)</span></a>'
    assert 'aria-label="Notation: σa²"' in accessible(symbol)


def test_cells_of_a_table_know_the_title_of_their_column():
    titles = r'<th class="head"><p>Statement</p></th><th class="head"><p>of \(\sigma^2\)</p></th>'
    head = f'<thead><tr class="row-odd">{titles}</tr></thead>'
    group = '<tr><td class="lorantk-group" colspan="2"><p>G</p></td></tr>'
    row = '<tr><td><p>a</p></td><td class="x"><p>b</p></td></tr>'
    for classes in ("table", "lorantk-table table"):
        page = labelled(f'<table class="{classes}">{head}<tbody>{group}{row}</tbody></table>{row}')
        assert f'{group}<tr><td data-label="Statement"><p>a</p></td><td data-label="of σ²" class="x"><p>b</p></td></tr>' in page
        assert page.endswith(row)
    assert "data-label" not in labelled(f'<table border="1" class="dataframe">{head}{row}</table>')


def test_an_element_ends_where_it_ends_and_has_no_links():
    text = element(THEOREM + "<p>after</p>")
    assert text.startswith('<div class="proof theorem admonition">')
    assert text.endswith("so on.</p></div>")
    assert r"\(a &lt; b\)" in text
    assert not re.search(r"<a|<img|id=|#", text)


def test_references_to_other_pages_come_with_what_they_refer_to(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book/one.html").write_text(f"{HEAD}<body>{THEOREM}</body></html>")
    link = '<a class="reference internal" href="book/one.html#thm-x">Theorem 1</a>'
    missing = '<a class="reference internal" href="book/one.html#section">a section</a>'
    (tmp_path / "index.html").write_text(f"{HEAD}<body>{link}{link}{missing}</body></html>")
    finish(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<template") == 1
    assert f'<template data-tip="book/one.html#thm-x">{element(THEOREM)}</template></body>' in page
    assert "<template" not in (tmp_path / "book/one.html").read_text()


def test_drawings_load_late_and_say_their_size(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images/a.svg").write_text('<svg xmlns:x="y" width="468pt" height="216pt" viewBox="0 0 1 1"/>')
    (tmp_path / "_images/b.svg").write_text('<svg viewBox="0 0 1 1"/>')
    page = drawn_late('<img alt="A" src="_images/a.svg" /><img alt="B" src="_images/b.svg" />', tmp_path)
    assert '<img loading="lazy" width="624" height="288" alt="A" src="_images/a.svg" />' in page
    assert '<img alt="B" src="_images/b.svg" />' in page


def test_every_page_has_a_policy_or_is_named(tmp_path):
    (tmp_path / "index.html").write_text(f"{HEAD}<body></body></html>")
    finish(tmp_path)
    assert "Content-Security-Policy" in (tmp_path / "index.html").read_text()
    (tmp_path / "other.html").write_text(f'{HEAD}<body onload="go()"></body></html>')
    with pytest.raises(PublishingError, match=r'other.html: expected no script in an attribute, got <body onload="go\(\)">'):
        finish(tmp_path)
