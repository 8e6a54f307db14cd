"""The head of each page: a description, a preview image, and what the page is in the vocabulary of schema.org.

The extension sphinxext-opengraph is not used: its descriptions take formulas and citations as their sources spell them, and the
preview of a chapter is the PNG of its first figure, which pages show as SVG.
"""

import json
import re
from html import escape, unescape
from pathlib import Path, PurePosixPath

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.util.osutil import relative_uri

from lorantk.publishing.json_files import CLAIMS_FILE, FIGURES_FILE, read_list
from lorantk.publishing.site import citation, linked_data
from lorantk.publishing.site.finish import plain_formula
from lorantk.publishing.site.outline import chapter_topic
from lorantk.publishing.site.sphinx_ext.pieces import within
from lorantk.publishing.site.sphinx_ext.works import CITATION, works

LENGTH = 300  # characters of a description
# What formulas in the first paragraphs use besides letters.
SIGNS = {r"\,": "", r"\preceq": "⪯", r"\le": "≤", r"\ge": "≥", r"\eta": "η", r"\lambda": "λ", r"\kappa": "κ", r"\infty": "∞"}
ROOT = re.compile(r"\\sqrt(?:\{([^{}]*)\}| ?(\w))")


def plain_text(node):
    """The text of a node, with its formulas in plain text."""
    if isinstance(node, nodes.math):
        tex = ROOT.sub(lambda root: f"√({root[1]})" if root[1] else f"√{root[2]}", node.astext())
        for name, sign in SIGNS.items():
            tex = re.sub(re.escape(name) + r"(?![A-Za-z])", sign, tex)
        return plain_formula(tex)
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(map(plain_text, node.children))


def shortened(content, length=LENGTH):
    """`content` on one line, cut after a word."""
    line = " ".join(content.split())
    return line if len(line) <= length else line[: line.rindex(" ", 0, length - 1)].rstrip(",;:") + " …"


def description(doctree, book):
    """What a page is about: its first paragraph of prose, or else its title and that of the book."""
    inside = (addnodes.desc, nodes.table, nodes.Admonition, nodes.list_item, nodes.citation)
    for paragraph in doctree.findall(nodes.paragraph):
        if not within(paragraph, inside) and (words := shortened(plain_text(paragraph))):
            return words
    title = doctree.next_node(nodes.title)
    return f"{plain_text(title)}: a page of the book “{book}”" if title is not None else book


class Addresses:
    """The addresses of files of the site as a page gives them: absolute if the book has an address, else relative to the page."""

    def __init__(self, app, page, site):
        self.env, self.page, self.site = app.env, page, site and f"{site.rstrip('/')}/"
        self.here = app.builder.get_target_uri(page)

    def of(self, target):
        """The address of a file, given by its path in the site."""
        return self.site + target if self.site else relative_uri(self.here, target) or PurePosixPath(self.here).name

    def downloads(self, suffixes):
        """The downloads that the page offers: a dict from file name to address."""
        offered = {
            PurePosixPath(target).name: self.of(f"_downloads/{target}")
            for pages, target in self.env.dlfiles.values()
            if self.page in pages
        }
        return {name: address for name, address in sorted(offered.items()) if name.endswith(suffixes)}

    def preview(self, figure):
        """The address of a figure as PNG, and its alternative text; None if no page offers it."""
        for _, target in self.env.dlfiles.values():
            if figure and PurePosixPath(target).name == f"{figure['id']}.png":
                return self.of(f"_downloads/{target}"), figure["alt"]
        return None


def page_objects(app, page, known, title, about, preview, addresses):
    """The objects of schema.org that a page describes; `known` has all works."""
    env, book = app.env, known[citation.BOOK]
    own = known.get(chapter_topic(page)) if page.startswith("notebooks/") else None
    front = page == app.config.root_doc
    work = own or (book if front else book | {"title": title})
    work = work | {"url": addresses.of(addresses.here), "doi": work["doi"] if front else None}
    kind = "ScholarlyArticle" if own or front else "WebPage"
    yield linked_data.page_article(work, kind, about, preview and preview[0])
    references = yaml.safe_load(Path(env.srcdir, CITATION).read_text()).get("references")
    examined = linked_data.paper(references[0], citation.authors(references[0])) if references else {}
    for claim in read_list(Path(env.srcdir, app.config.lorantk_build, CLAIMS_FILE)):
        if claim["notebook"] == f"{page}.ipynb" and examined:
            yield linked_data.claim_review(claim, book, examined, f"{work['url']}#verdict-{claim['id']}")
    if files := addresses.downloads(tuple(linked_data.FORMATS)):
        yield linked_data.dataset(title, files, book)


def write_head(app, page, template, context, doctree):
    """Add the description, the preview and the objects to the head of a page."""
    if doctree is None or not Path(app.srcdir, CITATION).is_file():
        return
    known = works(app.env)
    book = known[citation.BOOK]
    title, about = unescape(re.sub("<[^>]*>", "", context["title"])), description(doctree, book["title"])
    build = Path(app.srcdir, app.config.lorantk_build)
    figures = {figure["id"]: figure for figure in read_list(build / FIGURES_FILE)}
    drawn = next((figure for figure in figures.values() if figure["notebook"] == f"{page}.ipynb"), None)
    addresses = Addresses(app, page, book["url"])
    preview = addresses.preview(drawn or figures.get(app.config.lorantk_preview))
    objects = list(page_objects(app, page, known, title, about, preview, addresses))
    tags = {"og:title": title, "og:type": "article", "og:site_name": app.config.html_title, "og:description": about}
    if book["url"]:
        tags["og:url"] = addresses.of(addresses.here)
    if preview:
        tags |= {"og:image": preview[0], "og:image:alt": preview[1]}
    lines = [f'<meta name="description" content="{escape(about)}">']
    lines += [f'<meta property="{name}" content="{escape(content)}">' for name, content in tags.items()]
    graph = {"@context": linked_data.CONTEXT, "@graph": objects}
    # A text with a closing tag would end the script.
    content = json.dumps(graph, ensure_ascii=False).replace("</", r"<\/")
    context["metatags"] += "\n".join([*lines, f'<script type="application/ld+json">{content}</script>', ""])
