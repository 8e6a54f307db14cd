"""Citations: what a BibTeX processor makes of them, and what they leave out."""

import json
from pathlib import Path

import pybtex
import pytest
import yaml
from pybtex.database import parse_string
from pybtex.richtext import Text

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.site import citation

CFF = {
    "title": "Does it? Each_statement",
    "version": "1.2.0",
    "authors": [{"family-names": "Rényi", "given-names": "Alfréd B."}, {"name": "The & others"}],
}
BOOK = citation.book_work(CFF, "2026")
PUBLISHED = citation.book_work(
    CFF | {"doi": "10.1000/x_1", "url": "https://example.org/book", "date-released": "2027-01-31"}, "2026"
)


def figure(book=BOOK, **changes):
    """Return a figure of a book."""
    place = {"number": "10.1", "within": "Chapter 10, When is M_Δ < 0?", "commit": "0123456789abcdef"}
    return book | {"id": "nsd-line", "kind": "figure", "title": "50% of M_Δ & Rényi's “LoRA”"} | place | changes


def test_a_processor_reads_back_what_is_cited():
    work = figure(PUBLISHED, title="50% of M_Δ & the Rényi entropy of LoRA, #1")
    [entry] = parse_string(citation.bibtex(work), "bibtex").entries.values()
    read = {name: Text.from_latex(text) for name, text in entry.fields.items()}
    assert str(read["title"]) == work["title"]
    assert "Figure 10.1 of Chapter 10, When is M_" in str(read["howpublished"])
    assert str(read["note"]) == "version 1.2.0, commit 0123456789"
    assert entry.fields["year"] == "2027"
    assert (entry.fields["doi"], entry.fields["url"]) == ("10.1000/x_1", "https://example.org/book")
    person, group = entry.persons["author"]
    assert [str(Text.from_latex(" ".join(names))) for names in (person.last_names, person.first_names)] == ["Rényi", "Alfréd"]
    assert str(Text.from_latex(" ".join(person.middle_names))) == "B."
    assert str(Text.from_latex(" ".join(group.last_names))) == "The & others"


@pytest.mark.parametrize("style", ["plain", "alpha", "unsrt"])
def test_a_style_typesets_every_work_without_complaint(style):
    chapter = BOOK | {"id": "nsd", "kind": "chapter", "title": "When?", "number": "10"}
    entries = "\n".join(map(citation.bibtex, (BOOK, chapter, figure(title="A title"))))
    made = pybtex.PybtexEngine().format_from_string(entries, style, output_backend="plaintext")
    assert made.count("Each_statement") == 3
    assert "LoRA" not in made


def test_an_entry_is_ascii_and_its_braces_match():
    text = citation.bibtex(figure(title="M_Δ and κ of Rényi – Möbius’s “x”"))
    assert text.isascii()
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    with pytest.raises(PublishingError, match="expected ASCII, an accent or a Greek letter in what is cited, got '中'"):
        citation.bibtex(figure(title="中"))


def test_what_is_not_set_is_left_out():
    for write in citation.FORMATS.values():
        assert "None" not in write(BOOK)
        assert "doi" not in write(BOOK).lower()
        assert "http" not in write(BOOK)
    assert citation.apa(PUBLISHED).endswith("(version 1.2.0). https://doi.org/10.1000/x_1")
    assert citation.apa(figure()).startswith("Rényi, A. B., & The & others. (2026). 50% of")
    [entry] = json.loads(citation.csl_json(PUBLISHED))
    assert (entry["DOI"], entry["issued"]) == ("10.1000/x_1", {"date-parts": [[2027]]})


def test_the_books_own_citation_has_its_title_and_version():
    cited = yaml.safe_load(Path(__file__).parents[3].joinpath("CITATION.cff").read_text())
    assert citation.apa(citation.book_work(cited, "2026")).startswith("The lorantk authors. (2026). Does LoRA lower robustness?")
