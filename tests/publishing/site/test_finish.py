"""Finishing pages: what is removed, repaired and added."""

import re

import pytest
from bs4 import BeautifulSoup

from lorantk.publishing.site.finish import (
    delay_drawings,
    finish,
    keep_legible,
    keep_powers,
    keep_together,
    label_cells,
    lighten,
    make_accessible,
    plain_formula,
    plain_tex,
    set_minus_signs,
    tip,
)

HEAD = '<!DOCTYPE html>\n\n<html lang="en"><head><meta charset="utf-8"/></head>'
THEOREM = (
    '<div class="proof theorem admonition" id="thm-x">\n<p class="admonition-title">Theorem 1</p>'
    '<p>If <span class="math notranslate nohighlight">\\(a &lt; b\\)</span>, see <a href="other.html#y">there</a>'
    '<a class="headerlink" href="#thm-x">#</a><br/>and <img src="a.png" alt="no"/> so on.</p></div>'
)


def changed(change, html, *arguments):
    """HTML after a change of its page."""
    page = BeautifulSoup(html, "html.parser")
    change(page, *arguments)
    return str(page)


def test_code_keeps_its_text_and_its_colours():
    code = '<pre><span class="kn">import</span><span class="w"> </span><span class="n">jax</span><span class="p">(</span></pre>'
    assert changed(lighten, code) == '<pre><span class="kn">import</span> jax(</pre>'
    other = '<p><span class="n">x</span></p><pre><span class="n nb">x</span><span>y</span></pre>'
    assert changed(lighten, other) == other


def test_formulas_have_a_plain_form():
    assert plain_formula(r"M_\Delta") == "MΔ"
    assert plain_formula(r"n_{l-1}") == "nl−1"
    assert plain_tex(r"fine-tuning at \(A = (1, -1)\)") == "fine-tuning at A = (1, −1)"
    assert plain_tex(r"\(2\lVert BA\rVert\)") == "2‖BA‖"
    assert plain_tex(r"\(\omega = \eta_A/\eta_B\)") == "ω = ηA/ηB"
    assert plain_tex(r"\(\lambda\) and \(\varepsilon\)") == "λ and ε"
    assert plain_tex(r"\(\{4, 4\}\)") == "{4, 4}"
    assert plain_tex(r"normalised \(\bar H_\alpha\to0\)") == "normalised Hα→0"
    assert plain_tex(r"\(c = s^2 r \sigma_a^2\)") == "c = s² r σa²"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            '<script>write(`<button class="btn search-button-field search-button__button" aria-label="Search">&`)</script>',
            '<script>write(`<button class="btn search-button-field search-button__button">&`)</script>',
        ),
        (
            '<div class="pst-scrollable-table-container"><table></table></div>',
            '<div class="pst-scrollable-table-container" tabindex="0"><table></table></div>',
        ),
        ('<div role="list" class="citation-list"></div>', '<div class="citation-list"></div>'),
        ("<tr><th></th><th>a</th></tr>", "<tr><td></td><th>a</th></tr>"),
        (
            '<li class="has-children"><a href="a.html">Parts</a><details><summary><i></i></summary></details></li>',
            '<li class="has-children"><a href="a.html">Parts</a><details><summary aria-label="Pages below Parts">'
            "<i></i></summary></details></li>",
        ),
        (
            '<a class="lorantk-symbol reference internal" href="n.html#s"><span class="math">\\(\\sigma_a^2\\)</span></a>',
            '<a class="lorantk-symbol reference internal" href="n.html#s" aria-label="Notation: σa²">'
            '<span class="math">\\(\\sigma_a^2\\)</span></a>',
        ),
    ],
)
def test_keyboards_and_screen_readers_get_what_they_need(html, expected):
    made, wanted = (BeautifulSoup(text, "html.parser") for text in (changed(make_accessible, html), expected))
    assert made == wanted  # in whatever order attributes stand


def test_marks_stay_beside_their_formula():
    n, together = r'<span class="math">\(n\)</span>', '<span class="lorantk-together">{}</span>'
    for before, formula, after in (
        ("see ", f"{n}.", ""),
        ("see ", f"({n}),", " so"),
        ("", f"{n}-", "fold"),
        ("of ", f"{n}’s", " size"),
        ("by ", f'<a class="lorantk-symbol">{n}</a>.', ""),
    ):
        assert changed(keep_together, f"<p>{before}{formula}{after}</p>") == f"<p>{before}{together.format(formula)}{after}</p>"
    for text in (f"<p>see {n} and <b>({n}</b></p>", f"<p>{n}<code>.</code></p>"):
        page = changed(keep_together, text)
        assert BeautifulSoup(page, "html.parser").text == BeautifulSoup(text, "html.parser").text
    assert changed(keep_together, f"<p>of {n} or {n}</p>") == f"<p>of {n} or {n}</p>"


def test_a_number_stays_beside_its_power_of_ten():
    text = "<p>{0} and 8 × 10 pixels</p><pre>6 × 10⁻⁸</pre>"
    assert changed(keep_powers, text.format("6 × 10⁻⁸")) == text.format("6\u00a0×\u00a010⁻⁸")


def test_cells_of_a_table_know_the_title_of_their_column():
    titles = r'<th class="head"><p>Statement</p></th><th class="head"><p>of \(\sigma^2\)</p></th>'
    head = f'<thead><tr class="row-odd">{titles}</tr></thead>'
    group = '<tr><td class="lorantk-group" colspan="2"><p>G</p></td></tr>'
    row = '<tr><td><p>a</p></td><td class="x"><p>b</p></td></tr>'
    for classes in ("table", "lorantk-table table"):
        page = changed(label_cells, f'<table class="{classes}">{head}<tbody>{group}{row}</tbody></table>{row}')
        assert f'{group}<tr><td data-label="Statement"><p>a</p></td><td class="x" data-label="of σ²"><p>b</p></td></tr>' in page
        assert page.endswith(row)
    assert "data-label" not in changed(label_cells, f'<table border="1" class="dataframe table">{head}{row}</table>')
    for title, cell, alone in (
        ("A", r"\(\frac35\)", True),
        ("r", "8", True),
        ("symbol", r"\(r\)", False),
        ("A", r"\(r\) and s", False),
    ):
        table = f'<table class="table"><tr><th class="head">{title}</th></tr><tr><td>{cell}</td></tr></table>'
        assert ('class="lorantk-values"' in changed(label_cells, table)) == alone


def test_a_tip_has_no_links_and_no_names_of_its_own():
    page = BeautifulSoup(THEOREM, "html.parser")
    text = str(tip(page.div))
    assert text.startswith('<div class="proof theorem admonition">')
    assert text.endswith("so on.</p></div>")
    assert r"\(a &lt; b\)" in text
    assert "see there<br/>and" in text
    assert not re.search(r"<a|<img|id=|#", text)
    assert page == BeautifulSoup(THEOREM, "html.parser")  # the page itself stays


def test_references_to_other_pages_come_with_what_they_refer_to(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book/one.html").write_text(f"{HEAD}<body>{THEOREM}</body></html>")
    link = '<a class="reference internal" href="book/one.html#thm-x">Theorem 1</a>'
    missing = '<a class="reference internal" href="book/one.html#section">a section</a>'
    (tmp_path / "index.html").write_text(f"{HEAD}<body>{link}{link}{missing}</body></html>")
    finish(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<template") == 1
    shown = tip(BeautifulSoup(changed(keep_together, THEOREM), "html.parser").div)
    assert f'<template data-tip="book/one.html#thm-x">{shown}</template></body>' in page
    assert "<template" not in (tmp_path / "book/one.html").read_text()


def test_a_page_keeps_its_scripts_and_its_text(tmp_path):
    script = '<script>if (a && b < 1) { document.write("<p>"); }</script>'
    image = '<img src="a.png" alt="A"/>'
    page = f"{HEAD}<body>{script}{image}<pre>a\n\n  &lt;b&gt; &amp; c</pre><p>Größe – ‘x’</p></body></html>"
    (tmp_path / "index.html").write_text(page)
    finish(tmp_path)
    assert (tmp_path / "index.html").read_text().replace("\n\n\n", "\n\n") == page


def test_drawings_load_late_and_say_their_size(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images/a.svg").write_text('<svg xmlns:x="y" width="468pt" height="216pt" viewBox="0 0 1 1"/>')
    (tmp_path / "_images/b.svg").write_text('<svg viewBox="0 0 1 1"/>')
    page = '<img alt="A" src="_images/a.svg"/><img alt="B" src="_images/b.svg"/>'
    first = '<img alt="A" height="288" loading="lazy" src="_images/a.svg" width="624"/>'
    expected = BeautifulSoup(first, "html.parser").img
    made = BeautifulSoup(changed(delay_drawings, page, tmp_path), "html.parser").select("img")
    assert made[0] == expected
    assert str(made[1]) == '<img alt="B" src="_images/b.svg"/>'


def test_only_figures_with_small_text_scroll(tmp_path):
    (tmp_path / "_images").mkdir()
    for name, points in (("small", "0.08"), ("large", "0.09"), ("none", "")):
        text = f'<g transform="translate(1 2) rotate(-90) scale({points} -{points})"/>' if points else ""
        (tmp_path / f"_images/{name}.svg").write_text(f'<svg width="468pt" height="216pt"><g><g/>{text}</g></svg>')
    images = "".join(f'<img alt="A" src="_images/{name}.svg"/>' for name in ("small", "large", "none"))
    figure = f'<div class="lorantk-figure">{images}<span class="caption-number">Fig. 1.1 </span></div>'
    page = BeautifulSoup(changed(keep_legible, f"{figure}<p>{images}</p>", tmp_path), "html.parser")
    [part] = page.select(".lorantk-scroll")
    assert [image["src"] for image in part.select("img")] == ["_images/small.svg"]
    assert part.parent["class"] == ["lorantk-figure"]
    assert part["tabindex"] == "0"
    assert part["aria-label"] == "Fig. 1.1"


def test_a_minus_is_a_minus_sign_outside_code_and_formulas():
    html = '<p>-1 (-0.5 to 2), x-1, 1-2, n - 1, <code>-3</code><span class="math">-4</span> 2020-01-02</p><script>-5</script>'
    title = "<title>Search - a book</title>"
    page = BeautifulSoup(title + html, "html.parser")
    set_minus_signs(page)
    expected = '<p>−1 (−0.5 to 2), x-1, 1-2, n − 1, <code>-3</code><span class="math">-4</span> 2020-01-02</p><script>-5</script>'
    assert str(page) == title + expected


def test_a_term_is_shown_with_its_definition():
    page = BeautifulSoup(
        '<dl class="glossary"><dt id="term-a">a</dt><dd><p>one <a href="x">thing</a></p></dd></dl>', "html.parser"
    )
    assert str(tip(page.dt)) == "<dl><dt>a</dt><dd><p>one thing</p></dd></dl>"
