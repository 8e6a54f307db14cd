"""Sphinx extension: what a build found, on the pages of the book.

Directives, all of which read `claims.json` and `figures/index.json` in the folder `lorantk_build` (a Sphinx
configuration value, relative to the source folder; default `..`):

- ``{evidence-figure} ID``: a figure with number, caption, alternative text, how it was made, downloads, citation;
- ``{scoreboard}``: every statement with its verdict;
- ``{tally}``: how many statements have which verdict;
- ``{verdict} ID``: the verdict on one statement with all evidence and its certificate;
- ``{errata}``: what is printed against what holds;
- ``{figure-index}``: all figures, small;
- ``{chapter-list}``: every chapter, what it judges and needs, and how long it takes to read;
- ``{runs}``: time and memory that each notebook took;
- ``{releases} FOLDER``: the figures that have other data than in the release before;
- ``{trust} FILE``: the last result of a check of the book itself, such as building it twice;
- ``{ledger} FILE``: how often intervals cover, or how likely checks fail by bad luck;
- ``{coverage}`NAME` ``, in a line of text: how often the interval of this name covers;
- ``{judged}`ID` ``, in a line of text: the verdict on one statement, linked to its evidence.

Each chapter ends with how to run it again, and the first use of each symbol leads to its row in a container of class
``lorantk-symbols``. Nothing here needs scripts; `lorantk.js` adds tips to links.
"""

import os
from pathlib import Path

from docutils import nodes

from lorantk.publishing.sphinx_ext import chapters, checks, claims, figures, measured, pieces, releases, symbols, trust

DIRECTIVES = {
    "chapter-list": chapters.ChapterList,
    "errata": claims.Errata,
    "evidence-figure": figures.EvidenceFigure,
    "figure-index": figures.FigureIndex,
    "ledger": trust.Ledger,
    "releases": releases.Releases,
    "runs": chapters.Runs,
    "scoreboard": claims.Scoreboard,
    "tally": claims.Tally,
    "trust": trust.Trust,
    "verdict": claims.Verdict,
}


def _pass(translator, node):
    """Show the content alone, in formats other than HTML."""


def add_explorer(app, pagename, templatename, context, doctree):
    """Load the explorer's script on the page that has its place, a container of class ``lorantk-explorer``."""
    if doctree is not None and any("lorantk-explorer" in node["classes"] for node in doctree.findall(nodes.container)):
        app.add_js_file("explorer.js", loading_method="defer")


def setup(app):
    """Register the directives, their nodes and their style sheet."""
    app.add_config_value("lorantk_build", "..", "env", types=[str])
    # The notebooks' sources, relative to the source folder, for download; none where this is empty.
    app.add_config_value("lorantk_sources", "", "env", types=[str])
    # https://github.com/OWNER/NAME and a branch or tag, for Binder and Colab; no link where the first is empty.
    app.add_config_value("lorantk_repository", chapters.own_repository(os.environ), "env", types=[str])
    app.add_config_value("lorantk_reference", "main", "env", types=[str])
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_role("judged", claims.judged_role)
    app.add_role("coverage", trust.coverage_role)
    other = {"latex": (_pass, _pass), "text": (_pass, _pass)}
    app.add_node(pieces.Disclosure, html=(pieces.visit_disclosure, pieces.closing("details")), **other)
    app.add_node(pieces.Scrollable, html=(pieces.visit_scrollable, pieces.closing("div")), **other)
    app.add_node(measured.Unsearched, html=(measured.visit_unsearched, None), **other)
    app.add_transform(chapters.RunAgain)
    app.add_transform(symbols.NameSymbols)
    app.connect("doctree-read", checks.check_page)
    app.connect("doctree-resolved", symbols.link_symbols)
    app.connect("doctree-resolved", measured.hide_measured)
    app.connect("html-page-context", add_explorer)
    static = str(Path(__file__).with_name("static"))
    app.connect("builder-inited", lambda app: app.config.html_static_path.append(static))
    app.add_css_file("lorantk.css")
    app.add_js_file("lorantk.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
