"""Navigation: previews of links, by mouse and keyboard; search; downloads; what the front page shows at first sight."""

import hashlib
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lorantk.publishing.site.finish import PLAIN


def tip_of(page, link):
    """Return the text that appears next to a link when it gets the focus."""
    link.focus()
    page.locator("#lorantk-tip").wait_for(state="visible")
    return page.locator("#lorantk-tip")


def test_a_reference_shows_what_it_refers_to(file_visitor):
    page = file_visitor("notebooks/10_nsd.html").page
    cited = page.locator("article a[href*='references.html#']").first
    assert "Liang" in tip_of(page, cited).inner_text()
    assert cited.get_attribute("aria-describedby") == "lorantk-tip"
    page.keyboard.press("Escape")
    assert page.locator("#lorantk-tip").count() == 0
    page.evaluate("document.activeElement.blur()")
    statement = page.locator("article a[href='#nsd-spectrum']").first
    tip = tip_of(page, statement)
    assert tip.inner_text().startswith(page.locator("#nsd-spectrum").inner_text()[:20])
    tip.hover()
    page.wait_for_timeout(500)
    assert tip.is_visible()  # it stays while the mouse is on it


def test_printing_opens_what_opens_on_a_click(file_visitor):
    page = file_visitor("notebooks/10_nsd.html").page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("article details").count() > page.locator("article .lorantk-figure > details").count() > 0
    assert page.locator("article details:not(.lorantk-figure > details):not([open])").count() == 0
    assert page.locator("article .lorantk-figure > details[open]").count() == 0


def test_a_symbol_leads_to_its_row_and_shows_it(file_visitor):
    page = file_visitor("notebooks/10_nsd.html").page
    symbol = page.locator("a.lorantk-symbol").first
    tip = tip_of(page, symbol)
    assert len(tip.inner_text().split()) > 2
    assert tip.locator("mjx-container").count() > 0
    symbol.click()
    page.wait_for_url("**/book/notation.html#symbol-*")
    assert page.locator(":target").count() == 1


def test_every_symbol_link_has_a_row(site):
    rows = {tag["id"] for tag in BeautifulSoup((site / "book/notation.html").read_text(), "html.parser").select("tr[id]")}
    assert rows
    for path in (site / "notebooks").glob("*.html"):
        links = re.findall(r'class="lorantk-symbol[^>]*href="[^"#]*#([^"]+)"', path.read_text())
        assert len(links) == len(set(links)), path  # only the first use
        assert set(links) <= rows, path


def test_no_letter_and_no_verb_links_to_the_glossary(site):
    found = {}
    for path in site.rglob("*.html"):
        words = re.findall(r'<a class="lorantk-term[^>]*>(?:<[^>]*>)*([^<]*)', path.read_text())
        found[path] = [word for word in words if len(word) == 1 or word.lower() in ("drops", "lifts")]
    assert {path: words for path, words in found.items() if words} == {}


def test_a_check_that_fails_is_named_without_the_sentence_before(site):
    found = {}
    for path in (site / "notebooks").glob("*.html"):
        page = BeautifulSoup(path.read_text(), "html.parser")
        names = [item.get_text().strip() for item in page.select(".lorantk-verdict > ul li")]
        found[path.name] = [name for name in names if re.search(r"^(the same|its)\b|: the same$", name)]
    assert {page: names for page, names in found.items() if names} == {}


def test_marks_of_plain_code_are_not_seen(site):
    sheet = (site / "_static/pygments.css").read_text()
    for theme in ("light", "dark"):
        [plain] = re.findall(rf'html\[data-theme="{theme}"\] \.highlight \{{[^}}]*color: (#\w+)', sheet)
        for name in PLAIN:
            colors = re.findall(rf'html\[data-theme="{theme}"\] \.highlight \.{name} {{ color: (#\w+)', sheet)
            assert {color.lower() for color in colors} <= {plain.lower()}, (theme, name)


def test_search_finds_a_chapter_online_and_from_disk(visitor, file_visitor):
    for opened in (visitor, file_visitor):
        seen = opened("search.html", anchor="?q=poisoning")
        # Results are drawn one by one.
        seen.page.locator("#search-results a[href*='04_poisoning']").first.wait_for(timeout=10_000)
        assert seen.complaints == []
        assert seen.outside == []
        seen.page.evaluate("localStorage.clear()")  # otherwise the search words stay marked on the next page


def test_a_page_whose_own_title_has_the_words_comes_first_and_each_says_how_it_begins(visitor, file_visitor):
    for opened in (visitor, file_visitor):
        seen = opened("search.html", anchor="?q=gram+condition")
        seen.page.locator("#search-results a[href*='21_gram_condition']").first.wait_for(timeout=10_000)
        seen.page.wait_for_timeout(500)
        found = seen.page.locator("#search-results li")
        assert "21_gram_condition.html" in found.first.locator("a").get_attribute("href")
        assert len(found.first.locator("p.context").inner_text().split()) > 10
        assert seen.complaints == []
        seen.page.evaluate("localStorage.clear()")


def test_a_link_to_a_verdict_opens_what_is_folded_there(file_visitor):
    page = file_visitor("notebooks/10_nsd.html", anchor="#verdict-nsd").page
    assert page.locator("#verdict-nsd details").count() > 0
    assert page.locator("#verdict-nsd details:not([open])").count() == 0


def test_the_first_use_of_a_term_shows_its_definition(file_visitor):
    page = file_visitor("notebooks/30_untargeted.html").page
    links = page.locator("a.lorantk-term")
    places = [link.get_attribute("href") for link in links.all()]
    assert len(places) == len(set(places)) > 3
    assert "flipped labels" in tip_of(page, page.locator("a.lorantk-term[href$='#term-drop']")).inner_text()


def test_no_title_or_name_of_the_references_is_taken_for_a_term(site):
    assert BeautifulSoup((site / "book/references.html").read_text(), "html.parser").select("a.lorantk-term") == []


def test_every_link_to_a_statement_on_another_page_has_a_preview(site):
    for path in sorted((site / "notebooks").glob("*.html")):
        page = BeautifulSoup(path.read_text(), "html.parser")
        known = {part["data-tip"] for part in page.select("template[data-tip]")}
        links = {
            link["href"] for link in page.select("article a.reference.internal:has(.std-ref, .prf)") if ".html#" in link["href"]
        }
        links = {href for href in links if href.partition("#")[2].startswith("thm-")}
        assert links <= known, path.name


def test_numbers_of_chapters_agree(site):
    front = BeautifulSoup((site / "index.html").read_text(), "html.parser")
    chapters = BeautifulSoup((site / "book/chapters.html").read_text(), "html.parser")
    for source in sorted(Path("notebooks").glob("*.ipynb")):
        number, name = int(source.name[:2]), f"notebooks/{source.stem}.html"
        page = BeautifulSoup((site / name).read_text(), "html.parser")
        texts = [
            page.select_one("article h1").text,
            page.title.text,
            front.select_one(f"nav.bd-links a[href='{name}']").text,
            chapters.select_one(f"article tr > td:first-child a[href='../{name}']").text,
        ]
        titles = {text.partition(" — ")[0].removesuffix("#").strip() for text in texts}
        assert len(titles) == 1, name
        assert titles.pop().startswith(f"{number}. "), name
        numbered = page.select(".caption-number, .proof .caption-number")
        found = {word.rstrip(".") for part in numbered for word in re.findall(r"\d+\.\d+", part.text)}
        assert all(word.startswith(f"{number}.") for word in found), name


SHOWN_ROWS = 12


def test_tables_of_numbers_are_typeset(site):
    for path in sorted((site / "notebooks").glob("*.html")):
        for table in BeautifulSoup(path.read_text(), "html.parser").select(".cell_output table"):
            if table.find_parent(class_="lorantk-audit"):  # the audit's own report, as `lorantk audit --html` writes it
                continue
            cells = [cell.text.strip() for cell in table.select("td, th")]
            assert "dataframe" in table.get("class", ()), path.name
            assert [cell for cell in cells if re.fullmatch(r"(?i)nan|none|-\d.*|\d\S*e[-+]\d+", cell)] == [], path.name
            folded = table.find_parent("details")
            assert folded or len(table.select("tbody tr")) <= SHOWN_ROWS, path.name
            first = [row.select_one("td, th").text.strip() for row in table.select("tbody tr")]
            named = [cell.text.strip() for cell in table.select("thead tr:last-child > *")][:1]
            assert named != [""] or first != [str(i) for i in range(len(first))], path.name


def test_no_figure_is_cut_at_its_edge(site):
    for path in sorted((site.parent / "figures").glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("L"))
        edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
        assert all((edge > 200).all() for edge in edges), path.name


def test_downloads_of_figures_are_the_files_of_the_index(site):
    figures = {figure["id"]: figure for figure in json.loads((site.parent / "figures/index.json").read_bytes())}
    found = {}
    for page in site.rglob("*.html"):
        links = BeautifulSoup(page.read_text(), "html.parser").select(".lorantk-figure a[download]")
        for link in links:
            name, extension = link["href"].rpartition("/")[2].rsplit(".", 1)
            digest = hashlib.sha256((page.parent / link["href"]).read_bytes()).hexdigest()
            assert digest == figures[name]["sha256"][extension], (page, name, extension)
            found.setdefault(name, set()).add(extension)
    assert found == {name: {"svg", "pdf", "png", "csv"} for name in figures}


def test_every_figure_has_caption_alternative_text_provenance_and_citation(site):
    figures = json.loads((site.parent / "figures/index.json").read_bytes())
    pages = {}
    for figure in figures:
        name = figure["notebook"].removesuffix(".ipynb")
        page = pages.setdefault(name, BeautifulSoup((site / f"{name}.html").read_text(), "html.parser"))
        drawn = page.select_one(f"figure#fig-{figure['id']}")
        assert drawn.img["alt"] == figure["alt"]
        assert drawn.select_one(".caption-text").text.strip()
        panel = drawn.find_parent(class_="lorantk-figure").details.text
        versions = [f"{package} {number}" for package, number in figure["versions"].items()]
        parameters = [f"{key} = {value}" for key, value in figure["parameters"].items()]
        for fact in (figure["id"], figure["cell"], figure["notebook"], *parameters, *versions, "@misc{", "(2026)"):
            assert fact in panel, (figure["id"], fact)


@pytest.mark.parametrize("page", ["index.html"], ids=["front page"])
def test_the_front_page_answers_in_one_screen(file_visitor, page):
    seen = file_visitor(page)
    answer = seen.page.locator("article p", has=seen.page.locator("strong")).first
    assert "against backdoors it does not" in answer.inner_text()
    effects = seen.page.locator("article ul").first
    assert re.search(r"more accuracy to flipped labels .* points less", effects.inner_text())
    for words in ("I fine-tune", "I check a theorem", "I rerun"):
        door = seen.page.locator(".lorantk-front .sd-card", has_text=words)
        box = door.bounding_box()
        assert box["y"] + box["height"] <= 900
        assert door.locator("a").get_attribute("href").endswith(".html")


def test_a_phone_shows_each_row_of_a_table_as_a_list_with_the_titles_of_its_columns(file_visitor):
    page = file_visitor("index.html").page
    cell = page.locator("td[data-label='Verdict']").first
    title = "cell => getComputedStyle(cell, '::before').content"
    assert cell.evaluate(title) == "none"
    page.set_viewport_size({"width": 390, "height": 844})
    assert "Verdict" in cell.evaluate(title)
    assert cell.bounding_box()["y"] > page.locator("td[data-label='Statement']").first.bounding_box()["y"]
    outside = "[...document.querySelectorAll('td')].filter(cell => cell.getBoundingClientRect().right > innerWidth).length"
    assert page.evaluate(outside) == 0


def test_every_chapter_says_how_to_run_it(site):
    for source in sorted(Path("notebooks").glob("*.ipynb")):
        page = BeautifulSoup((site / "notebooks" / f"{source.stem}.html").read_text(), "html.parser")
        part = page.select_one("#run-again")
        assert f"make notebook N={source.stem.partition('_')[2]} " in part.text
        executed, stored = (site / "notebooks" / link["href"] for link in part.select("a[download]"))
        assert executed == site / "notebooks" / source.name
        assert stored.read_bytes() == source.read_bytes()


# A role, a directive, an option of one, a label: markup that only the book can render.
SOURCE = re.compile(r"\{[a-z][\w:-]*\}`|(?:`{3}|:{3})\{|^[ \t]*:[a-z]+:|^\([\w:-]+\)=|\$\$[ \t]*\(", re.MULTILINE)


def test_the_notebook_beside_each_page_shows_no_source_of_the_book(site):
    sources = sorted(Path("notebooks").glob("*.ipynb"))
    for path in (site / "notebooks" / source.name for source in sources):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        assert SOURCE.findall(text) == [], path.name
        figures = [
            output
            for cell in cells
            for output in cell.get("outputs", [])
            if "figure" in output.get("metadata", {}).get("lorantk", {})
        ]
        assert all("image/png" in output.data for output in figures)
        assert len(figures) == len(re.findall(r"^\*\*Fig\. \d+\.\d+\.\*\* ", text, re.MULTILINE)), path.name
