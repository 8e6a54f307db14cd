"""A shorter search index, with only the words of the text.

Sphinx puts every word of every page into one file, which the search page loads; most are names and numbers in code cells and
their outputs. What stays is what a reader would search for: the words of titles and of prose. Each page's first sentences come
along, which the search page shows below its results.
"""

import json
import re
from textwrap import shorten as shorten_text

from bs4 import Tag
from sphinx.search.en import SearchEnglish

from lorantk.publishing.site.finish import plain_tex

NOT_PROSE = {"math", "dataframe"}  # classes of formulas and of tables of data
LANGUAGE = SearchEnglish({})
EXCERPT = 200  # characters


def strings(tag):
    """The strings of prose in a part of a page."""
    for child in tag.children:
        if not isinstance(child, Tag):
            yield str(child)
        elif child.name != "pre" and NOT_PROSE.isdisjoint(child.get("class", ())):
            yield from strings(child)


def prose(page):
    """The words of a page's prose, as the index has them: a set of str."""
    words = set(LANGUAGE.split(" ".join(strings(page.select_one("article.bd-article") or page))))
    return words | {LANGUAGE.stem(word).lower() for word in words}


def excerpt(page):
    """How a page begins: its first paragraph in plain text, cut between words."""
    found = next((part for part in page.select("article.bd-article p") if part.get_text(strip=True)), None)
    return shorten_text(" ".join(plain_tex(found.text).split()), EXCERPT, placeholder=" …") if found else ""


def findable(term):
    """Whether a query can find `term`: the search script turns queries into lower case and drops words of digits only."""
    return term == term.lower() and not re.fullmatch(r"[0-9]*", term)


def shortened(index, words):
    """The search index without what no query can find or no reader searches for.

    Parameters
    ----------
    index : dict
        What Sphinx passes to `Search.setIndex`.
    words : list of set of str
        `prose` of every page, in the order of `index["docnames"]`.
    """
    terms = {}
    for term, pages in index["terms"].items():
        kept = [page for page in ([pages] if isinstance(pages, int) else pages) if term in words[page]]
        if kept and findable(term):
            terms[term] = kept[0] if len(kept) == 1 else kept
    titles = {term: pages for term, pages in index["titleterms"].items() if findable(term)}
    rest = {name: value for name, value in index.items() if name != "envversion"}  # which only Sphinx reads
    return rest | {"terms": terms, "titleterms": titles}


def shorten(folder, pages):
    """Shorten the search index in `folder`, in place.

    Parameters
    ----------
    folder : Path
        The site.
    pages : dict of str to BeautifulSoup
        Its pages by path.
    """
    path = folder / "searchindex.js"
    before, opening, content = path.read_text().partition("(")
    index = json.loads(content.rstrip(";\n").removesuffix(")"))
    words = [prose(pages[f"{name}.html"]) for name in index["docnames"]]
    begins = {"excerpts": [excerpt(pages[f"{name}.html"]) for name in index["docnames"]]}
    brief = json.dumps(shortened(index, words) | begins, ensure_ascii=False, separators=(",", ":"))
    path.write_text(f"{before}{opening}{brief})")
