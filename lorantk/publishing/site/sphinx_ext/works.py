"""Citations on the pages, and the list of everything that can be cited, which the command line reads.

What the book prints as the number of a figure or a chapter is known only when all pages have been read, so a directive puts a
`Cited` in place of a citation, which is replaced before the page is written.
"""

from pathlib import Path

import yaml
from docutils import nodes

from lorantk.disk import write_whole
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.json_files import FIGURES_FILE, json_bytes, read_list
from lorantk.publishing.site import citation
from lorantk.publishing.site.outline import chapter_topic
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import code, text

CITATION = "CITATION.cff"  # in the source folder


class Cited(nodes.General, nodes.Element):
    """The place of the citation of `work`, an id."""


class CiteBook(BuildDirective):
    """How to cite the book."""

    def content_nodes(self):
        """The place of the citation."""
        self.env.note_dependency(str(Path(self.env.srcdir, CITATION)))
        return [Cited("", work=citation.BOOK)]


def printed(number):
    """A number as printed, or None."""
    return ".".join(map(str, number)) if number else None


def works(env):
    """Everything that can be cited: a dict from id to work, with the book, its chapters and their figures.

    Parameters
    ----------
    env : BuildEnvironment
        After all pages have been read and numbered.

    Raises
    ------
    PublishingError
        If a figure has the id of a chapter.
    """
    config = env.config
    book = citation.book_work(yaml.safe_load(Path(env.srcdir, CITATION).read_text()), config.copyright)
    site = book["url"] and f"{book['url'].rstrip('/')}/"
    found = {book["id"]: book}
    for page in sorted(name for name in env.found_docs if name.startswith("notebooks/")):
        chapter = {"id": chapter_topic(page), "kind": "chapter", "title": env.titles[page].astext()}
        chapter |= {"number": printed(env.titles[page].get("secnumber")), "url": site and f"{site}{page}.html"}
        found[chapter["id"]] = book | chapter
    figures = read_list(Path(env.srcdir, config.lorantk_build, FIGURES_FILE))
    if twice := [figure["id"] for figure in figures if figure["id"] in found]:
        raise PublishingError(f"expected figures with other ids than chapters have, got {', '.join(twice)}")
    for figure in figures:
        page, label = figure["notebook"].removesuffix(".ipynb"), f"fig-{figure['id']}"
        chapter = found.get(chapter_topic(page))
        number = env.toc_fignumbers.get(page, {}).get("figure", {}).get(label)
        head = " ".join(filter(None, ["Chapter", chapter and chapter["number"]]))
        place = {"number": printed(number), "within": chapter and f"{head}, {chapter['title']}"}
        place |= {"kind": "figure", "url": site and f"{site}{page}.html#{label}"}
        found[figure["id"]] = book | {name: figure[name] for name in ("id", "title", "commit")} | place
    return found


def write_citations(app, doctree, page):
    """Replace each `Cited` of a page by the citation, as text and as BibTeX."""
    places = list(doctree.findall(Cited))
    known = works(app.env) if places else {}
    for place in places:
        work = known[place["work"]]
        address = [] if citation.link(work) else [text("The book has no address yet, so the citation gives none.")]
        written = [code(citation.apa(work), "text"), code(citation.bibtex(work), "bibtex"), *address]
        place.replace_self(nodes.container("", *written, classes=["lorantk-cite"]))


def write_works(app, exception):
    """Write the list of all works beside the pages."""
    if exception is None and app.builder.name == "html" and Path(app.srcdir, CITATION).is_file():
        write_whole(Path(app.outdir, Path(citation.WORKS_FILE).name), json_bytes(list(works(app.env).values())))
