"""Words of chapters: read from Markdown, joined to what the code recorded, and refused if the two do not match."""

import nbformat
import pytest
from tiny_book import CERTIFICATE, NSD, OBJECTS, TEXTS, certificate_words, figure_words, verdict_words

from lorantk.publishing.errors import FigureError, WordsError
from lorantk.publishing.notebook.words import completed, fill, filled, read_words

PIECE = {"key": "largest", "value": 0.44, "relation": "<=", "bound": 0, "unit": "1", "about": "printed", "passed": False}
BOUNDED = PIECE | {"key": "largest-bounded", "value": 0.0, "about": "corrected", "passed": True}
CLAIM = {"id": "nsd", "verdict": "fails as printed", "evidence": [PIECE, BOUNDED], "certificate": OBJECTS}
FIGURE = {"id": "nsd-line", "parameters": {}}
VERDICT = verdict_words("nsd", "It is so.", largest="a", largest_bounded="b")
FITTING = (figure_words("nsd-line"), certificate_words("nsd"), VERDICT)
NUMBERS = {"count": 12, "share": 0.44, "drift": -1.2e-9, "word": "PEFT-like", "many": 12345}


def notebook(*sources, code="pass"):
    """Return a notebook of Markdown cells, with a code cell before them."""
    cells = [nbformat.v4.new_code_cell(code, id="code")]
    cells += [nbformat.v4.new_markdown_cell(source, id=f"text-{place}") for place, source in enumerate(sources)]
    return nbformat.v4.new_notebook(cells=cells)


def record(claims=(CLAIM,), checks=(), figures=(FIGURE,), profile="default", numbers=NUMBERS):
    """Return what the code of a chapter recorded."""
    parameters = {"profile": profile}
    return {
        "parameters": parameters, "claims": list(claims), "checks": list(checks), "figures": list(figures), "numbers": numbers,
    }  # fmt: skip


def test_words_join_what_was_recorded():
    done = completed(record(), notebook("# Title", NSD))
    [claim], [figure] = done["claims"], done["figures"]
    assert claim["corrected"] == r"$M_Δ ⪯ 0$ if and only if $s^2\|A\|^2 \le 1$."
    assert [piece["name"] for piece in claim["evidence"]] == [
        "largest eigenvalue of $M_Δ$",
        r"the same, where $s^2\|A\|^2 \le 1$",
    ]
    assert claim["certificate"] == CERTIFICATE
    assert figure == FIGURE | TEXTS
    assert done["numbers"] == NUMBERS


def test_figures_come_in_the_order_of_the_page():
    later = FIGURE | {"id": "nsd-edge"}
    order = figure_words("nsd-edge"), figure_words("nsd-line"), certificate_words("nsd"), VERDICT
    done = completed(record(figures=[FIGURE, later]), notebook(*order))
    assert [figure["id"] for figure in done["figures"]] == ["nsd-edge", "nsd-line"]


def test_evidence_comes_in_the_order_of_its_sentences():
    [claim] = completed(record([CLAIM | {"evidence": [BOUNDED, PIECE]}]), notebook(*FITTING))["claims"]
    assert [piece["name"] for piece in claim["evidence"]] == ["a", "b"]


def test_words_are_read_wherever_they_stand():
    apart = read_words(notebook(f"Text before.\n\n{VERDICT}\nText after.", FITTING[1], "# Title", FITTING[0]))
    assert apart == read_words(notebook("\n".join(FITTING)))


def test_code_that_looks_like_words_is_not_read():
    assert read_words(notebook("# Title", code=NSD)).figures == {}


def test_longer_fences_and_colons_do_as_well():
    sources = [f"{fence}{{verdict}} nsd\nIt is ```small```.\n\none\n: one\n{fence}" for fence in ("````", ":::")]
    for source in sources:
        words = read_words(notebook(source))
        assert words.corrected == {"nsd": "It is ```small```."}
        assert words.sentences == {"nsd": {"one": "one"}}


def test_a_sentence_may_run_over_lines_and_ends_at_an_empty_one():
    words = read_words(notebook("```{verdict} nsd\none\n: a sentence\n  that goes on\n\ntwo-3\n: $a: b$\n```"))
    assert words.sentences == {"nsd": {"one": "a sentence that goes on", "two-3": "$a: b$"}}
    assert words.corrected == {"nsd": ""}


def test_a_verdict_without_correction_has_none():
    plain = verdict_words("nsd", largest="a", largest_bounded="b")
    done = completed(record(), notebook(figure_words("nsd-line"), certificate_words("nsd"), plain))
    assert done["claims"][0]["corrected"] is None


def test_a_piece_is_named_by_its_case_and_the_sentence_of_its_key():
    cases = [PIECE | {"case": "r = 8"}, PIECE | {"case": "r = 4"}]
    claim = {"id": "gauge", "verdict": "holds exactly", "evidence": cases}
    done = completed(record([claim], figures=[]), notebook(verdict_words("gauge", largest="largest of {glue:text}`count`")))
    assert [piece["name"] for piece in done["claims"][0]["evidence"]] == ["r = 8: largest of 12", "r = 4: largest of 12"]


def test_checks_have_their_own_directive():
    done = completed(record([], [PIECE], []), notebook("```{checks}\nlargest\n: largest of all\n```"))
    assert [piece["name"] for piece in done["checks"]] == ["largest of all"]


def test_numbers_stand_in_every_kind_of_words():
    glue = "{glue:text}`share:.1f`"
    figure = figure_words("nsd-line", title=f"At {glue}", alt=f"A curve at {glue}.", caption=f"$x = {glue}$, {glue}.")
    verdict = verdict_words("nsd", f"It is {glue}.", largest=f"largest at {glue}", largest_bounded="b")
    certificate = certificate_words("nsd").replace("has the", f"{glue} has the")
    done = completed(record(), notebook(figure, certificate, verdict))
    [claim], [drawn] = done["claims"], done["figures"]
    assert (drawn["title"], drawn["alt"], drawn["caption"]) == ("At 0.4", "A curve at 0.4.", "$x = 0.4$, 0.4.")
    assert (claim["corrected"], claim["evidence"][0]["name"]) == ("It is 0.4.", "largest at 0.4")
    assert "0.4 has the" in claim["certificate"]["conclusion"]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (FITTING[:2], "expected words for verdict nsd in a Markdown cell, got none"),
        (FITTING[1:], "expected words for figure nsd-line in a Markdown cell, got none"),
        ((FITTING[0], VERDICT), "expected words for certificate nsd in a Markdown cell, got none"),
        (
            (*FITTING[:2], verdict_words("nsd", "It is so.", largest="a")),
            "expected words for evidence of nsd largest-bounded in a Markdown cell, got none",
        ),
        ((*FITTING[1:], FITTING[0].replace(":alt:", ":alternative:")), "expected words for figure nsd-line: its alt in a"),
        ((FITTING[0], VERDICT, certificate_words("nsd").replace("check\n", "proof\n")), "words for certificate nsd: check in"),
        # An unclosed fence is not a directive.
        ((*FITTING[:2], VERDICT.rstrip("`\n")), "expected words for verdict nsd in a Markdown cell, got none"),
    ],
)
def test_missing_words_are_named(sources, message):
    with pytest.raises(WordsError, match=message):
        completed(record(), notebook(*sources))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (figure_words("other"), "expected figure other to be recorded by the code, got only the words"),
        (verdict_words("gauge", x="x"), "expected verdict gauge to be recorded by the code"),
        (certificate_words("gauge"), "expected certificate gauge to be recorded by the code"),
        ("```{checks}\nx-y\n: x\n```", "expected check x-y to be recorded by the code"),
    ],
)
def test_words_that_nothing_was_recorded_for_are_named(source, message):
    with pytest.raises(WordsError, match=message):
        completed(record(), notebook(*FITTING, source))


def test_a_sentence_too_many_is_named_except_at_the_tiny_profile():
    sources = (*FITTING[:2], verdict_words("nsd", "It is so.", largest="a", largest_bounded="b", third="c"))
    with pytest.raises(WordsError, match="expected evidence of nsd third to be recorded by the code, got only the words"):
        completed(record(), notebook(*sources))
    assert len(completed(record(profile="smoke"), notebook(*sources))["claims"][0]["evidence"]) == 2
    checks = "```{checks}\nx\n: x\n```"
    assert completed(record([], [], [], "smoke"), notebook(checks))["checks"] == []
    # Whatever is recorded must have its words at every profile.
    with pytest.raises(WordsError, match="expected words for evidence of nsd largest-bounded"):
        completed(record(profile="smoke"), notebook(*FITTING[:2], verdict_words("nsd", "It is so.", largest="a")))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (figure_words("nsd-line"), "expected figure 'nsd-line' once, got it twice"),
        (VERDICT, "expected verdict nsd once, got it twice"),
        (certificate_words("nsd"), "expected certificate 'nsd' once, got it twice"),
        ("```{checks}\n```\n\n```{checks}\n```", "expected checks once, got it twice"),
        ("```{verdict} gauge\none\n: a\n\none\n: b\n```", "expected the sentence 'one' of verdict gauge once, got it twice"),
    ],
)
def test_words_that_stand_twice_are_named(source, message):
    with pytest.raises(WordsError, match=message):
        read_words(notebook(*FITTING, source))


@pytest.mark.parametrize(
    ("about", "passed", "fits"),
    [("corrected", True, True), ("limit", True, True), ("limit", False, False), ("control", True, False)],
)
def test_a_corrected_statement_needs_evidence_that_passes(about, passed, fits):
    claim = CLAIM | {"evidence": [PIECE, BOUNDED | {"about": about, "passed": passed}]}
    if fits:
        completed(record([claim]), notebook(*FITTING))
    else:
        with pytest.raises(WordsError, match="expected passing evidence for the corrected statement of nsd"):
            completed(record([claim]), notebook(*FITTING))


@pytest.mark.parametrize("role", ["title", "alt", "caption"])
@pytest.mark.parametrize(("text", "message"), [(" ", "expected a {role} for figure"), ("a\x07b", "expected a printable {role}")])
def test_a_text_of_a_figure_is_there_and_printable(role, text, message):
    with pytest.raises(FigureError, match=message.format(role=role)):
        completed(record(), notebook(*FITTING[1:], figure_words("nsd-line", **{role: text})))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{glue:text}`count` and {glue:text}`share:.0%`", "12 and 44%"),
        ("{glue:text}`drift:.1e`", "−1.2 × 10⁻⁹"),
        ("$x = {glue:text}`drift:.1e`$", r"$x = -1.2 \times 10^{-9}$"),
        ("$x = {glue:text}`share:.0%`$, {glue:text}`drift:.0e`", r"$x = 44\%$, −1 × 10⁻⁹"),
        ("$$\nx = {glue:text}`many:,`\n$$ (a-label)\n\n{glue:text}`many:,`", "$$\nx = 12{,}345\n$$ (a-label)\n\n12,345"),
        ("\\begin{align*}x &= {glue:text}`many:,`\\end{align*}", "\\begin{align*}x &= 12{,}345\\end{align*}"),
        (r"\$5 and {glue:text}`drift:.0e` or \$6", r"\$5 and −1 × 10⁻⁹ or \$6"),
        ("`$x` is {glue:text}`drift:.0e` of `$y`", "`$x` is −1 × 10⁻⁹ of `$y`"),
        (r"$\{x\}\$ {glue:text}`drift:.0e`$", r"$\{x\}\$ -1 \times 10^{-9}$"),
        ("{glue:text}`word`, {numref}`fig-nsd-line`", "PEFT-like, {numref}`fig-nsd-line`"),
    ],
)
def test_numbers_are_written_as_their_place_asks(text, expected):
    assert fill(text, NUMBERS) == expected


@pytest.mark.parametrize("text", ["{glue:text}`cont`", "$x = {glue:text}`cont:.2f`$"])
def test_an_unknown_number_is_named_with_those_that_there_are(text):
    with pytest.raises(WordsError, match=r"expected a number that the notebook glues \(count, share\), got 'cont'"):
        fill(text, {"count": 1, "share": 2})
    with pytest.raises(WordsError, match=r"\(none\), got 'cont'"):
        fill(text, {})


@pytest.mark.parametrize(("key", "spec"), [("share", "d"), ("word", ".2f"), ("count", "x y")])
def test_a_format_that_does_not_fit_is_named(key, spec):
    with pytest.raises(WordsError, match=f"expected a format that fits {key} = .*, got '{spec}'"):
        fill(f"{{glue:text}}`{key}:{spec}`", NUMBERS)


def test_a_filled_notebook_has_numbers_in_its_text_and_its_code_as_it_was():
    code = "chapter.glue(count=12)  # {glue:text}`count`"
    content = notebook("It is {glue:text}`count`.", code=code)
    done = filled(content, NUMBERS)
    assert [cell["source"] for cell in done["cells"]] == [code, "It is 12."]
    assert content.cells[1].source == "It is {glue:text}`count`."
    lines = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["It is\n", "{glue:text}`count`."]}]}
    assert filled(lines, NUMBERS)["cells"][0]["source"] == "It is\n12."


def test_a_chapter_can_say_how_long_it_takes_to_read():
    done = filled(notebook("About {glue:text}`reading_minutes` minutes."), {})
    assert done["cells"][1]["source"] == "About 5 minutes."
