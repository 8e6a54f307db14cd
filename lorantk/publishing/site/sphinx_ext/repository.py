"""What depends on where the repository is: the clone command, links to the source of each page, Binder and Colab.

One setting, `lorantk_repository` in `_config.yml`, gives the address. While it is empty, the pages say so in words.
"""

import re
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.site.sphinx_ext.pieces import code, text

REPOSITORY = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)/?")
UNPUBLISHED = "The repository has no public address yet"
# Colab has its own Python packages; these lines install the versions of uv.lock, and neural-tangents without TensorFlow.
COLAB = """!git clone --quiet --branch {reference} {repository} /content/book
%cd /content/book
!pip install --quiet uv && uv export --quiet --locked --no-hashes --no-emit-project --output-file /tmp/lock.txt
!uv pip install --quiet --system --no-deps --requirement /tmp/lock.txt
!uv pip install --quiet --system --no-deps --editable ."""


def repository_name(repository):
    """OWNER/NAME of a repository on GitHub, where Binder and Colab find notebooks; None if the address is empty.

    Raises
    ------
    PublishingError
        If the address has another form.
    """
    if not repository:
        return None
    found = REPOSITORY.fullmatch(repository)
    if found is None:
        raise PublishingError(f"expected lorantk_repository as https://github.com/OWNER/NAME, got {repository!r}")
    return found[1]


def source_link(repository, reference, path):
    """The address of a file of the repository, as a person reads it; None if the address is empty."""
    name = repository_name(repository)
    return name and f"https://github.com/{name}/blob/{quote(reference, safe='')}/{quote(path)}"


def launch_links(repository, reference, notebook):
    """Services that run a notebook without installation: a dict from name to address, empty while there is no repository."""
    name, reference = repository_name(repository), quote(reference, safe="")
    return name and {
        "Binder": f"https://mybinder.org/v2/gh/{name}/{reference}?urlpath=lab/tree/{notebook}",
        "Colab": f"https://colab.research.google.com/github/{name}/blob/{reference}/{notebook}",
    }


def services(config, notebook):
    """Links to the services and to the source of a notebook, or the words that there are none yet."""
    repository, reference = config.lorantk_repository, config.lorantk_reference
    links = launch_links(repository, reference, notebook)
    if not links:
        yield text(f"{UNPUBLISHED}, so there are no links to Binder, Colab or this notebook's source yet.")
        return
    parts = [nodes.reference("", name, refuri=uri, internal=False) for name, uri in links.items()]
    line = nodes.paragraph("", "", nodes.Text("Without installing anything: "), parts[0], nodes.Text(" · "), parts[1])
    line += nodes.Text(". On Colab, run this in a first cell; it installs the book's versions:")
    yield line
    yield code(COLAB.format(repository=repository, reference=reference), "text")


class Clone(SphinxDirective):
    """The command that fetches the repository, or the words that it has no address yet."""

    def run(self):
        """A block of code, or a paragraph."""
        repository, reference = self.config.lorantk_repository, self.config.lorantk_reference
        try:
            name = repository_name(repository)
        except PublishingError as error:
            raise self.error(str(error)) from error
        if name is None:
            return [text(f"{UNPUBLISHED}: the commands below need a copy of its files. Its clone command will stand here.")]
        folder = name.partition("/")[2]
        return [code(f"git clone --branch {reference} {repository.rstrip('/')}\ncd {folder}", "bash")]


def offer_source(app, page, template, context, doctree):
    """Add a link to the source of a page to the theme's buttons, if the repository has an address."""
    if doctree is None:
        return
    place = Path(app.env.doc2path(page, base=False))
    path = place.as_posix() if place.parent.name else f"book/{place.name}"  # the front page is kept in book/
    link = source_link(app.config.lorantk_repository, app.config.lorantk_reference, path)
    if link:
        context["header_buttons"].append(
            {"type": "link", "url": link, "tooltip": "Source of this page", "icon": "fab fa-github", "label": "source-button"}
        )
