"""Finish the pages that Sphinx wrote: make them lighter and usable by keyboard, and add what links refer to."""

import copy
import posixpath
import re
import unicodedata

from bs4 import BeautifulSoup
from bs4.dammit import EntitySubstitution
from bs4.element import NavigableString, Script
from bs4.formatter import HTMLFormatter

from lorantk.disk import write_whole

# Pygments classes that the theme draws in the colour of plain code: half of a chapter's markup, without a visible effect.
PLAIN = ("n", "p", "w")
# Operators do have a colour, but it is not worth a tenth of a page's size.
DROPPED = (*PLAIN, "o")
# TeX's names that are not those of Greek letters in Unicode; an accent is left out.
SIGNS = {"times": "×", "top": "ᵀ", "to": "→", "lambda": "λ", "Lambda": "Λ", "varepsilon": "ε", "bar": "", "hat": ""}
SIGNS |= {"lVert": "‖", "rVert": "‖"}
FORMULA = re.compile(r"\\\((.*?)\\\)", re.DOTALL)
# Equations, statements, references, symbols and terms, which a link to them shows in a tip.
TARGETS = "div.math[id], div.proof[id], div.citation[id], tr[class^=row-][id], dl.glossary > dt[id]"
TIP_LIMIT = 5000  # characters: a long statement, not a page
SIZE = re.compile(r'<svg[^>]*? width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"')
# A line of text in our drawings, as outlines: scaled by a hundredth of its size in points.
TEXT_SCALE = re.compile(r"<g [^>]*scale\(([\d.]+) -\1\)")
LEGIBLE = 9  # points: the smallest text of a drawing that a phone may reduce to its width
SEARCH_FIELD = re.compile(r'(<button class="btn search-button-field search-button__button"[^>]*?) aria-label="[^"]*"')
# A hyphen that stands for a minus: before a number, and not within a word, a date or an address; or between spaces.
MINUS = re.compile(r"(?<![\w.:/)\]-])-(?=\d)|(?<=\s)-(?=\s)")
# What belongs to a formula without a space between them.
BEFORE = re.compile(r"[(\[“‘]+$")
AFTER = re.compile(r"[.,;:!?)\]’”…-]+(?:s\b)?")
# A cell with nothing but formulas and numbers, and titles of first columns that such cells need not repeat.
VALUES = re.compile(r"(?:\\\(.+?\\\)|[\d\W])+", re.DOTALL)
SELF_EVIDENT = ("", "symbol", "Symbol", "letter")
POWER = re.compile(r" × (?=10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹])")
VERBATIM = ("pre", "code", "script", "style", "template", "title")
PIXELS = 96 / 72  # CSS pixels in a point


class AsWritten(HTMLFormatter):
    """Writes attributes in their original order."""

    def attributes(self, tag):
        """The names and values of a tag's attributes."""
        return tag.attrs.items()


def parse(path):
    """The page in a file."""
    return BeautifulSoup(path.read_text(), "html.parser")


def write(page, path):
    """Write a page into a file."""
    write_whole(path, page.decode(formatter=AsWritten(EntitySubstitution.substitute_xml)).encode())


def sign(name):
    """The character that a command of TeX stands for, or else the command's name."""
    if name in SIGNS:
        return SIGNS[name]
    try:
        return unicodedata.lookup(f"GREEK {'SMALL' if name.islower() else 'CAPITAL'} LETTER {name}")
    except KeyError:
        return name


def plain_formula(tex):
    """A formula in plain text."""
    words = re.sub(r"\\(bar|hat|[lr]Vert) ?|\\([A-Za-z]+)", lambda name: sign(name[1] or name[2]), tex)
    words = re.sub(r"(?<!\\)[{}$]|(?<=\w)_(?=[\w{])", "", words).replace("^2", "²").replace("^", "").replace("-", "−")
    return re.sub(r"\\([{}])", r"\1", words)


def plain_tex(text):
    """Words whose formulas are in plain text, too."""
    return FORMULA.sub(lambda formula: plain_formula(formula[1]), text)


def lighten(page):
    """Remove markup of code that is not worth its size."""
    for mark in page.select("pre span"):
        if len(mark.get("class", ())) == 1 and mark["class"][0] in DROPPED:
            mark.unwrap()


def set_minus_signs(page):
    """Write a minus sign before negative numbers and in differences, in text that is neither code nor a formula."""
    for text in page.find_all(string=MINUS):
        if not text.find_parent(VERBATIM) and not text.find_parent(class_=("math", "sig")):
            text.replace_with(type(text)(MINUS.sub("−", text)))


def keep_powers(page):
    """Keep a number on the line of its power of ten."""
    for text in page.find_all(string=POWER):
        if not text.find_parent(VERBATIM):
            text.replace_with(type(text)(POWER.sub("\u00a0×\u00a0", text)))


def keep_together(page):
    """Keep brackets and punctuation marks on the line of the formula that they touch; browsers part them."""
    for formula in page.select("span.math, a.lorantk-symbol"):
        before, after = (
            str(text) if type(text) is NavigableString else "" for text in (formula.previous_sibling, formula.next_sibling)
        )
        start, end = BEFORE.search(before), AFTER.match(after)
        if start or end:
            together = formula.wrap(page.new_tag("span", attrs={"class": "lorantk-together"}))
            if start:
                together.previous_sibling.replace_with(before[: start.start()])
                together.insert(0, start[0])
            if end:
                together.next_sibling.replace_with(after[end.end() :])
                together.append(end[0])


def make_accessible(page):
    """Repair what the theme and MyST-NB write, for keyboards and screen readers."""
    # A name that differs from the visible words breaks voice control. A script of the theme writes this button.
    for script in page.find_all("script", string=SEARCH_FIELD):
        script.string.replace_with(Script(SEARCH_FIELD.sub(r"\1", script.string)))
    # What scrolls must be reachable without a mouse.
    for part in page.select(".pst-scrollable-table-container"):
        part["tabindex"] = "0"
    # The entries of a bibliography are not list items, so their parent is not a list.
    for part in page.select(".citation-list[role=list]"):
        del part["role"]
    # The empty corner of a table of data is not a header.
    for cell in page.select("th:empty"):
        if not cell.attrs:
            cell.name = "td"
    # An arrow alone is not a name for what it opens.
    for part in page.select("li.has-children > details > summary"):
        part["aria-label"] = f"Pages below {part.find_previous('a').text.strip()}"
    # A formula alone is not a name for a link.
    for link in page.select("a.lorantk-symbol"):
        link["aria-label"] = f"Notation: {plain_tex(link.text)}"


def label_cells(page):
    """Give each cell of a table the title of its column as `data-label`, which phones show in front of the cell.

    The first cell of a row needs none, as it says what the row is about, except where it has only values.
    """
    for table in page.select("table.table:not(.dataframe)"):
        titles = [plain_tex(title.text) for title in table.select("th.head")]
        for row in table.select("tr"):
            cells = [cell for cell in row.find_all("td", recursive=False) if "lorantk-group" not in cell.get("class", ())]
            for cell, title in zip(cells, titles, strict=False):
                cell["data-label"] = title
            if cells and titles and titles[0] not in SELF_EVIDENT and VALUES.fullmatch(cells[0].text):
                cells[0]["class"] = [*cells[0].get("class", ()), "lorantk-values"]


def delay_drawings(page, folder):
    """Let drawings load when they come near, and state their size, so that the text does not jump.

    Parameters
    ----------
    page : BeautifulSoup
        The page.
    folder : Path
        The folder of its file.
    """
    for image in page.select('img[src*="_images/"][src$=".svg"]:not([loading])'):
        if size := SIZE.search((folder / image["src"]).read_text()):  # ours state it; other drawings stay as they are
            image["loading"] = "lazy"
            image["width"], image["height"] = (str(round(float(size[name]) * PIXELS)) for name in ("width", "height"))


def keep_legible(page, folder):
    """Put each figure with small text into a part of its own, which scrolls on a phone instead of being reduced.

    Parameters
    ----------
    page : BeautifulSoup
        The page.
    folder : Path
        The folder of its file.
    """
    for image in page.select('.lorantk-figure img[src*="_images/"][src$=".svg"]'):
        sizes = [100 * float(scale) for scale in TEXT_SCALE.findall((folder / image["src"]).read_text())]
        if min(sizes, default=LEGIBLE) < LEGIBLE:
            number = image.find_parent(class_="lorantk-figure").select_one(".caption-number, .std-numref").text.strip()
            image.wrap(
                page.new_tag("div", attrs={"class": "lorantk-scroll", "tabindex": "0", "role": "region", "aria-label": number})
            )


def tip(target):
    """A copy of a target for a tip: without links, pictures and buttons, and without attributes except classes."""
    shown = copy.copy(target)
    if target.name == "dt":  # a term without its definition says nothing
        shown = BeautifulSoup("<dl></dl>", "html.parser").dl
        shown.extend([copy.copy(target), copy.copy(target.find_next_sibling("dd"))])
    for part in shown.select(".headerlink, button, img"):
        part.decompose()
    for part in shown.select("a"):
        part.unwrap()
    for part in (shown, *shown.find_all(True)):
        part.attrs = {"class": part["class"]} if "class" in part.attrs else {}
    return shown


def tips(name, page, known):
    """The targets of a page's links to other pages, as hidden templates.

    Parameters
    ----------
    name : str
        Path of the page.
    page : BeautifulSoup
        The page.
    known : dict of str to dict
        The targets of each page: by path of the page, and then by id.
    """
    wanted = {}
    for link in page.select("a.reference.internal[href*='#']"):
        path, _, anchor = link["href"].partition("#")
        other = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if path and anchor in known.get(other, {}):
            wanted[link["href"]] = known[other][anchor]
    for href, target in sorted(wanted.items()):
        shown = tip(target)
        if len(str(shown)) <= TIP_LIMIT:
            template = page.new_tag("template", attrs={"data-tip": href})
            template.append(shown)
            yield template


def finish(folder):
    """Finish every page below `folder` in place, and return the pages by path."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}
    pages = {name: parse(path) for name, path in paths.items()}
    for name, page in pages.items():
        lighten(page)
        set_minus_signs(page)
        keep_powers(page)
        keep_together(page)
        make_accessible(page)
        label_cells(page)
        delay_drawings(page, paths[name].parent)
        keep_legible(page, paths[name].parent)
    known = {name: {target["id"]: target for target in page.select(TARGETS)} for name, page in pages.items()}
    for name, page in pages.items():
        for template in list(tips(name, page, known)):
            page.body.append(template)
        write(page, paths[name])
    return pages
