"""The directive ``{argument}``: the paper's argument as a chain, each link with its verdict and what holds instead."""

from docutils import nodes

from lorantk.publishing.json_files import CLAIMS_FILE
from lorantk.publishing.notebook.claims import OTHER, OWN
from lorantk.publishing.site.chain import Link, draw
from lorantk.publishing.site.outline import chapter_number, chapter_topic
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import NOT_YET


class Argument(BuildDirective):
    """The picture of the chain.

    A line of the body is the title of a part, or a link: an id, what it says in plain text, and perhaps the topics of chapters on
    what holds instead::

        From an adapter to its kernel
        ntk-deterministic: as the width grows, the kernel becomes deterministic | determinism
    """

    has_content = True

    def content_nodes(self):
        """The picture; a statement of the paper that is missing, unknown or there twice is an error."""
        self.claims, groups = self.entries(CLAIMS_FILE), {}
        for line in filter(str.strip, self.content):
            name, colon, text = line.partition(": ")
            if not colon:
                groups[line.strip()] = []
            elif not groups:
                raise self.error(f"expected the title of a part before its first link, got {line!r}")
            else:
                [*groups.values()][-1].append((name, self.link(name, text)))
        named = [name for links in groups.values() for name, _ in links]
        wanted = [name for name, claim in self.claims.items() if claim["source"] != OWN and not claim["source"].startswith(OTHER)]
        if wrong := sorted({name for name in wanted + named if named.count(name) != 1 or name not in wanted}):
            raise self.error(f"expected each statement of the paper as one link, got it otherwise for {', '.join(wrong)}")
        drawing = draw({title: [link for _, link in links] for title, links in groups.items()})
        return [nodes.raw("", drawing, format="html")]

    def link(self, name, text):
        """One link of the chain."""
        if name not in self.claims:
            raise self.error(f"expected an id of {CLAIMS_FILE}, got {name!r}")
        claim = self.claims[name]
        said, _, mends = text.partition("|")
        address = f"{self.address(claim['notebook'])}#verdict-{name}" if claim["notebook"] else ""
        return Link(said.strip(), claim["verdict"] or NOT_YET, address, dict(map(self.mend, mends.replace(",", " ").split())))

    def mend(self, topic):
        """The number and the address of the chapter on a topic."""
        found = [page for page in self.env.found_docs if page.startswith("notebooks/") and chapter_topic(page) == topic]
        if not found:
            raise self.error(f"expected the topic of a chapter, got {topic!r}")
        return str(chapter_number(found[0])), self.address(found[0])

    def address(self, page):
        """The address of a page, relative to this one."""
        return self.env.app.builder.get_relative_uri(self.env.docname, page.removesuffix(".ipynb"))
