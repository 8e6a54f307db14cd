"""The directives ``{chapter-list}`` and ``{runs}``, and the last part of each chapter, on how to run it again."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lorantk.publishing.json_files import CLAIMS_FILE, DURATIONS_FILE, FIGURES_FILE
from lorantk.publishing.site.outline import read_outline
from lorantk.publishing.site.sphinx_ext import repository
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import (
    Disclosure,
    badge,
    code,
    cross_reference,
    download,
    download_beside,
    facts,
    table,
    text,
)
from lorantk.publishing.site.sphinx_ext.works import Cited

RUNS = "book/runs"  # the page that shows what each notebook took


def duration(seconds):
    """A time in seconds or minutes, in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def read_run(path):
    """The record of an execution, or None if there is none."""
    return json.loads(path.read_bytes()) if path.is_file() else None


class ChapterDirective(BuildDirective):
    """A directive about all chapters of the book."""

    def chapters(self):
        """For each chapter: the name of the page, what the notebook says about itself, and the record of its execution."""
        for page in sorted(name for name in self.env.found_docs if name.startswith("notebooks/")):
            executed = self.build / "executed" / f"{Path(page).name}.ipynb"
            run = self.build / "executed" / "runs" / f"{Path(page).name}.json"
            for path in (executed, run):
                self.env.note_dependency(str(path))
            yield page, read_outline(executed), read_run(run)

    def link(self, page, title):
        """A link to a chapter, with its title."""
        reference = cross_reference("doc", f"/{page}", "", self.env.docname)
        reference.children[0] += self.markdown(title)
        return reference


class ChapterList(ChapterDirective):
    """Every chapter: what it judges, what it needs, how long it takes to read."""

    def content_nodes(self):
        """A table in the book's order."""
        judged = {}
        for claim in self.entries(CLAIMS_FILE).values():
            judged.setdefault(claim["notebook"], []).append(claim)
        rows = []
        for page, chapter, _ in self.chapters():
            verdicts = [part for claim in judged.get(f"{page}.ipynb", []) for part in self.verdict(claim)]
            needs = self.markdown(chapter.needs) if chapter.needs else [nodes.Text("nothing more")]
            rows.append(
                [
                    [self.link(page, f"{chapter.number}. {chapter.title}")],
                    verdicts,
                    needs,
                    [nodes.Text(f"{chapter.minutes}\u00a0min")],
                ]
            )
        return [table(["Chapter", "Judges", "Needs", "To read"], rows, "Chapters")]

    def verdict(self, claim):
        """The title of one statement with a badge that links to its verdict."""
        parts = (nodes.Text(f"{claim['title']} "), badge(claim["verdict"], claim["id"], self.env.docname))
        return [nodes.inline("", "", *parts, classes=["lorantk-judged"])]


class Runs(ChapterDirective):
    """How long each notebook and each figure took when this site was built, with how much memory and on which machine."""

    def content_nodes(self):
        """A table of notebooks, the versions, and a table of figures."""
        runs = {(page, f"{chapter.number}. {chapter.title}"): run for page, chapter, run in self.chapters()}
        known = [run for run in runs.values() if run]
        if not known:
            return [text("No run was recorded.")]
        rows = [[[self.link(*name)], *([nodes.Text(cell)] for cell in self.cells(run))] for name, run in runs.items()]
        total = duration(sum(run["seconds"] for run in known))
        most = max(run["peak_bytes"] for run in known)
        rows.append([[nodes.strong("", "All")], [nodes.Text(total)], [nodes.Text(f"at most {most / 1e9:.1f} GB")], [], []])
        versions = {json.dumps(run["versions"], sort_keys=True): run["versions"] for run in known}
        lines = ["; ".join(", ".join(f"{name} {number}" for name, number in entry.items()) for entry in versions.values())]
        head = ["Notebook", "Took", "Peak memory", "Profile", "Device"]
        return [table(head, rows, "Runs"), facts([("Versions", lines[0])]), *self.figures()]

    def figures(self):
        """The time of each figure that was recorded."""
        path = self.build / DURATIONS_FILE
        self.env.note_dependency(str(path))
        took = json.loads(path.read_bytes()) if path.is_file() else {}
        rows = [
            [[cross_reference("ref", f"fig-{name}", entry["title"], self.env.docname)], [nodes.Text(f"{took[name]:.1f} s")]]
            for name, entry in self.entries(FIGURES_FILE).items()
            if name in took
        ]
        return [Disclosure("", table(["Figure", "Took"], rows, "Figures"), summary=f"{len(rows)} figures")] if rows else []

    def cells(self, run):
        """The time, memory, profile and device of one run."""
        if run is None:
            return "not recorded", "", "", ""
        cores = run["threads"] or run["device"]["cores"]
        device = f"{run['device']['platform']}, {cores} thread{'s' * (cores > 1)}, {run['device']['processor']}"
        return duration(run["seconds"]), f"{run['peak_bytes'] / 1e9:.1f} GB", run["profile"], device


class RunAgain(SphinxTransform):
    """Adds to each chapter how to run and cite it: the command, the notebook's files, services that need no installation."""

    default_priority = 400

    def apply(self, **options):
        """Append this part to the document of a chapter."""
        page, roots = self.env.docname, list(self.document.findall(nodes.section))
        if not page.startswith("notebooks/") or not roots or not self.config.lorantk_sources:
            return
        source = Path(self.env.srcdir, self.config.lorantk_sources, f"{Path(page).name}.ipynb").resolve()
        if not source.is_file():
            return
        self.env.note_dependency(str(source))
        part = nodes.section("", nodes.title("", "Run this chapter again"), ids=["run-again"], names=["run-again"])
        part += self.content(read_outline(source), source)
        roots[0] += part

    def content(self, chapter, source):
        """The paragraphs of this part."""
        name = source.name
        seed = "seed=7" if "seed" in chapter.parameters else "profile=smoke"
        parameters = ", ".join(f"{name} = {value!r}" for name, value in chapter.parameters.items())
        stored = Path("..", self.config.lorantk_sources, name).as_posix()
        files = nodes.paragraph("", "", nodes.Text("The notebook: "), download_beside("with results", name))
        files += [nodes.Text(" · "), download("source, without results", stored)]
        how = "In a checkout of the book, with other values of its parameters, "
        yield nodes.paragraph("", "", nodes.Text(how), nodes.literal("", parameters), nodes.Text(":"))
        yield code(f'make notebook N={chapter.topic} P="{seed}"', "bash")
        yield nodes.paragraph("", "", *self.afterwards())
        yield files
        yield from repository.services(self.config, f"notebooks/{name}")
        yield Disclosure("", Cited("", work=chapter.topic), summary="Cite this chapter")

    def afterwards(self):
        """What to expect: a page with the results. The time it takes has its own page, because it differs in every build."""
        yield nodes.Text("The last line printed is the address of a page with your results, beside those of the book.")
        if RUNS in self.env.found_docs:
            yield nodes.Text(" How long it took here, and with how much memory: ")
            yield cross_reference("doc", f"/{RUNS}", "how this site was computed", self.env.docname)
            yield nodes.Text(".")
