"""The index of the search: the words of the text alone, in as few bytes as its script reads.

Sphinx puts every word of a page into one file that the page of the search loads, most of them names and numbers of code
cells and their results. What stays is what a reader would ask for: the words of titles and of prose.
"""

import html as markup
import json
import re

from sphinx.search.en import SearchEnglish

ARTICLE = re.compile(r'<article class="bd-article"[^>]*>(.*?)</article>', re.DOTALL)
# Code, formulas and tables of data.
NOT_PROSE = re.compile(r'<pre.*?</pre>|<(span|div) class="math\b.*?</\1>|<table [^>]*class="dataframe">.*?</table>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
LANGUAGE = SearchEnglish({})


def prose(page):
    """The words of a page's prose, as the index has them: a set of str."""
    article = ARTICLE.search(page)
    text = markup.unescape(TAG.sub(" ", NOT_PROSE.sub(" ", article[1] if article else page)))
    words = set(LANGUAGE.split(text))
    return words | {LANGUAGE.stem(word).lower() for word in words}


def findable(term):
    """Whether a query can lead to `term`: the script makes its letters small and drops words of digits alone."""
    return term == term.lower() and not re.fullmatch(r"[0-9]*", term)


def shortened(index, words):
    """The search index without what no query finds or no reader asks for.

    Parameters
    ----------
    index : dict
        What Sphinx gives to `Search.setIndex`.
    words : list of set of str
        `prose` of every page, in the order of `index["docnames"]`.
    """
    terms = {}
    for term, pages in index["terms"].items():
        kept = [page for page in ([pages] if isinstance(pages, int) else pages) if term in words[page]]
        if kept and findable(term):
            terms[term] = kept[0] if len(kept) == 1 else kept
    titles = {term: pages for term, pages in index["titleterms"].items() if findable(term)}
    rest = {name: value for name, value in index.items() if name != "envversion"}  # Sphinx's own, for its next run
    return rest | {"terms": terms, "titleterms": titles}


def shorten(folder):
    """Shorten the index of the pages below `folder`, in place."""
    path = folder / "searchindex.js"
    before, opening, content = path.read_text().partition("(")
    index = json.loads(content.rstrip(";\n").removesuffix(")"))
    words = [prose((folder / f"{name}.html").read_text()) for name in index["docnames"]]
    brief = json.dumps(shortened(index, words), ensure_ascii=False, separators=(",", ":"))
    path.write_text(f"{before}{opening}{brief})")
