"""Sphinx extension: shows the results of a build on the pages of the book.

Directives, which read `claims.json` and `figures/index.json` in the folder `lorantk_build` (a Sphinx configuration
value, relative to the source folder; default `..`):

- ``{evidence-figure} ID``: a figure with number, caption, alternative text, provenance, downloads and citation;
- ``{scoreboard}``: every statement with its verdict;
- ``{tally}``: how many statements have each verdict;
- ``{verdict} ID``: the verdict on one statement, with all evidence;
- ``{certificate} ID``: the certificate of one statement;
- ``{checks}``: the checks that a chapter made independently of any statement;
- ``{errata}``: what is printed beside what holds, with a number and a counterexample for each;
- ``{figure-index}``: all figures, small;
- ``{chapter-list}``: every chapter, with what it judges and needs and how long it takes to read;
- ``{runs}``: the time and memory that each notebook took;
- ``{trust} FILE``: the last result of a check of the book itself, such as building it twice;
- ``{clone}``: the command that fetches the repository;
- ``{coverage-table} FILE``: how often intervals cover;
- ``{cite-book}``: how to cite the book;
- ``{chance}``: how likely the checks of this build come out the other way by bad luck;
- ``{argument}``: the paper's argument as a picture of a chain;
- ``{beside}``: on the page of a single notebook, its results beside the book's;
- ``{api} NAME``: the public functions of a module of the theory, from their docstrings;
- ``{computed}`TOPIC NAME:FORMAT` ``, in a line of text: a number that a chapter computed;
- ``{coverage}`NAME` ``, in a line of text: how often the interval of this name covers;
- ``{judged}`ID` ``, in a line of text: the verdict on one statement, linked to its evidence.

Each chapter ends with how to run it again, the first use of each symbol links to its row in a container of class
``lorantk-symbols``, and that of each term to its definition in the glossary. Nothing here needs scripts; `lorantk.js` adds tips
to links.
"""

from pathlib import Path

from docutils import nodes

from lorantk.publishing.site import notebooks
from lorantk.publishing.site.sphinx_ext import (
    api,
    argument,
    beside,
    chapters,
    checks,
    claims,
    computed,
    figures,
    head,
    measured,
    numbers,
    pieces,
    repository,
    symbols,
    terms,
    trust,
    works,
)

DIRECTIVES = {
    "api": api.Module,
    "argument": argument.Argument,
    "beside": beside.Beside,
    "certificate": claims.Certificate,
    "checks": claims.Checks,
    "chance": trust.Chance,
    "chapter-list": chapters.ChapterList,
    "cite-book": works.CiteBook,
    "coverage-table": trust.Coverage,
    "clone": repository.Clone,
    "errata": claims.Errata,
    "evidence-figure": figures.EvidenceFigure,
    "figure-index": figures.FigureIndex,
    "runs": chapters.Runs,
    "scoreboard": claims.Scoreboard,
    "tally": claims.Tally,
    "trust": trust.Trust,
    "verdict": claims.Verdict,
}


def _pass(translator, node):
    """Write only the content, in formats other than HTML."""


SCRIPTS = {"lorantk-explorer": "explorer.js", "lorantk-widget": "widgets.js"}


def add_pictures(app, pagename, templatename, context, doctree):
    """Load the script of the explorer, or of the small pictures with sliders, on the pages that have a container for them."""
    classes = {name for node in doctree.findall(nodes.container) for name in node["classes"]} if doctree is not None else set()
    for script in (script for name, script in SCRIPTS.items() if name in classes):
        app.add_js_file("pictures.js", loading_method="defer")
        app.add_js_file(script, loading_method="defer")


def add_search(app, pagename, templatename, context, doctree):
    """Load the script that shows how the pages found begin, on the page of the search."""
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    """Register directives, roles, nodes, transforms, scripts and style sheets."""
    app.add_config_value("lorantk_build", "..", "env", types=[str])
    # The folder of the notebooks' sources, for download, relative to the source folder; empty for none.
    app.add_config_value("lorantk_sources", "", "env", types=[str])
    # https://github.com/OWNER/NAME and a branch or tag: the clone command, sources, Binder and Colab; none if the first is empty.
    app.add_config_value("lorantk_repository", "", "env", types=[str])
    app.add_config_value("lorantk_reference", "main", "env", types=[str])
    # The figure that previews pages without a figure of their own, by its id.
    app.add_config_value("lorantk_preview", "", "env", types=[str])
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_role("judged", claims.judged_role)
    app.add_role("computed", computed.computed_role)
    app.add_role("coverage", trust.coverage_role)
    other = {"latex": (_pass, _pass), "text": (_pass, _pass)}
    app.add_node(pieces.Disclosure, html=(pieces.visit_disclosure, pieces.closing("details")), **other)
    app.add_node(pieces.Scrollable, html=(pieces.visit_scrollable, pieces.closing("div")), **other)
    app.add_node(measured.Unsearched, html=(measured.visit_unsearched, None), **other)
    app.add_transform(chapters.RunAgain)
    app.add_transform(symbols.NameSymbols)
    app.connect("env-get-updated", numbers.number_chapters, priority=600)  # after Sphinx's own numbers
    app.connect("doctree-read", checks.check_page)
    app.connect("doctree-resolved", symbols.link_symbols)
    app.connect("doctree-resolved", terms.link_terms)
    app.connect("doctree-resolved", measured.hide_measured)
    app.connect("doctree-resolved", works.write_citations)
    app.connect("html-page-context", add_pictures)
    app.connect("html-page-context", add_search)
    app.connect("html-page-context", notebooks.offer_notebook, priority=600)  # after the theme has made its buttons
    app.connect("html-page-context", head.write_head)
    app.connect("html-page-context", repository.offer_source, priority=600)
    app.connect("build-finished", notebooks.write_notebooks)
    app.connect("build-finished", works.write_works)
    static = str(Path(__file__).with_name("static"))
    app.connect("config-inited", lambda app, config: setattr(config, "html_search_scorer", f"{static}/scorer.js"))
    app.connect("builder-inited", lambda app: app.config.html_static_path.append(static))
    app.add_css_file("lorantk.css")
    app.add_js_file("lorantk.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
