"""What a notebook records: evidence, verdicts, figures and the numbers of its prose."""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from lorantk.files import project_root, write_whole
from lorantk.publishing import claims, display, figures, provenance, style, verdicts
from lorantk.publishing.errors import ClaimError, EvidenceError, FigureError, PublishingError, VerdictError
from lorantk.publishing.files import DURATIONS, RECORD, json_bytes, plain

PROFILES = ("default", "paper", "smoke")


def records_folder():
    """Where this notebook's records go.

    `LORANTK_RECORDS` where it is set, as it is when the book is built; otherwise
    `_build/interactive/records/<notebook>` of the enclosing project.
    """
    if folder := os.environ.get("LORANTK_RECORDS"):
        return Path(folder)
    notebook = Path(os.environ.get("JPY_SESSION_NAME", "scratch")).stem
    return project_root() / "_build" / "interactive" / "records" / notebook


@dataclass
class _Judgement:
    """What a chapter has recorded on one claim so far."""

    claim: claims.Claim
    evidence: list = field(default_factory=list)
    certificate: dict | None = None
    verdict: str | None = None
    corrected: str | None = None

    def record(self):
        """The judgement as a JSON object."""
        pieces = [piece.record() for piece in self.evidence]
        entry = {"id": self.claim.id, "verdict": self.verdict, "corrected": self.corrected, "evidence": pieces}
        return entry if self.certificate is None else entry | {"certificate": self.certificate}


class Chapter:
    """The records of one notebook; make one in its second code cell.

    Making it applies the figure style and replaces the records of an earlier run. Every later step is
    written to disk at once, so that the records always say how far the notebook came.

    Parameters
    ----------
    *names : str
        Ids of the claims that the notebook judges; none for a chapter that explains or that is on their
        use, which may make checks instead.
    profile : str
        One of `PROFILES`.
    parameters : dict, optional
        The notebook's parameters; they become part of every figure's provenance.

    Raises
    ------
    ClaimError
        If an id is unknown or given twice.
    PublishingError
        If the profile is unknown or a parameter has no form in JSON.
    """

    def __init__(self, *names, profile="default", parameters=None):
        if len(set(names)) != len(names):
            raise ClaimError(f"expected claim ids, each once, got {names}")
        if profile not in PROFILES:
            raise PublishingError(f"expected a profile out of {PROFILES}, got {profile!r}")
        self._judgements = {name: _Judgement(claims.claim(name)) for name in names}
        self._parameters = {"profile": profile, **plain("parameters", parameters or {})}
        self._checks = []
        self._figures, self._durations = {}, {}
        self._since = time.monotonic()
        self._folder = records_folder()
        shutil.rmtree(self._folder / "figures", ignore_errors=True)
        style.use()
        self._write()

    def _write(self):
        """Bring the record on disk up to date."""
        record = {
            "parameters": self._parameters,
            "claims": [judgement.record() for judgement in self._judgements.values()],
            "checks": [piece.record() for piece in self._checks],
            "figures": list(self._figures.values()),
        }
        write_whole(self._folder / RECORD, json_bytes(record))
        write_whole(self._folder / DURATIONS, json_bytes(self._durations))

    def _judgement(self, name):
        """What is recorded on claim `name`, which may be left out where the chapter has only one."""
        if name is None and len(self._judgements) == 1:
            return next(iter(self._judgements.values()))
        if name not in self._judgements:
            known = ", ".join(self._judgements) or "it judges none: use check"
            raise ClaimError(f"expected claim= as one of this chapter's ({known}), got {name!r}")
        return self._judgements[name]

    def _open(self, name):
        """As `_judgement`, for a claim that is not judged yet."""
        judgement = self._judgement(name)
        if judgement.verdict is not None:
            raise VerdictError(f"expected everything on {judgement.claim.id!r} before its verdict, got more after it")
        return judgement

    def evidence(self, name, value, relation, bound, unit="1", about="printed", claim=None, protocol=None):
        """Record that ``value relation bound`` was tested, and say whether it holds.

        Parameters
        ----------
        name : str
            What was compared, in words a reader of the scoreboard understands; Markdown with ``$math$``.
        value, bound : number
            Finite real numbers.
        relation : str
            One of ``<= < >= > == !=``.
        unit : str
            ``"1"`` for pure numbers.
        about : str
            What it speaks about, see `lorantk.publishing.verdicts`.
        claim : str, optional
            Needed where the chapter judges several.
        protocol : str, optional
            For findings: under which protocol; left out, each piece is a protocol of its own.

        Raises
        ------
        EvidenceError
            If a number is not finite, or a word is not among the known ones.
        """
        judgement = self._open(claim)
        kind = judgement.claim.kind
        piece = verdicts.evidence(name, value, relation, bound, kind=kind, unit=unit, about=about, protocol=protocol)
        judgement.evidence.append(piece)
        self._write()
        return piece.passed

    def check(self, name, value, relation, bound, unit="1"):
        """Record that ``value relation bound`` holds, apart from any claim; where it does not, stop the build.

        Parameters
        ----------
        name, value, relation, bound, unit
            As in `evidence`.

        Raises
        ------
        EvidenceError
            If the comparison does not hold, a number is not finite, or the relation is unknown.
        """
        piece = verdicts.evidence(name, value, relation, bound, kind="claim", unit=unit, about="control")
        if not piece.passed:
            raise EvidenceError(f"expected {relation} {piece.bound} of check {name!r}, got {piece.value}")
        self._checks.append(piece)
        self._write()

    def show_checks(self):
        """Display every check so far, as a table."""
        display.show_checks([piece.record() for piece in self._checks])

    def certificate(self, content, claim=None):
        """Record a certificate: a JSON object with `statement`, `objects`, `check` and `conclusion`.

        Exact rationals are strings such as ``"4/5"``.

        Raises
        ------
        VerdictError
            If a part is missing or has no form in JSON.
        """
        wanted = {"statement": str, "objects": dict, "check": str, "conclusion": str}
        if not isinstance(content, dict) or {key: type(part) for key, part in content.items()} != wanted:
            raise VerdictError(f"expected a certificate with {', '.join(wanted)} (objects a dict), got {content!r}")
        self._open(claim).certificate = plain("certificate", content)
        self._write()

    def conclude(self, verdict, corrected=None, claim=None):
        """Compute the verdict, hold it to the one stated here, record and display it.

        Parameters
        ----------
        verdict : str
            What the chapter's text says.
        corrected : str, optional
            The statement that does hold, in Markdown with ``$math$``.

        Raises
        ------
        VerdictError
            If the evidence carries another verdict, or a certificate or evidence is missing.
        EvidenceError
            If a control or the corrected statement fails.
        """
        judgement = self._open(claim)
        kind, name = judgement.claim.kind, judgement.claim.id
        computed = verdicts.conclude(kind, judgement.evidence, verdict, corrected, judgement.certificate)
        judgement.verdict, judgement.corrected = computed, corrected
        self._write()
        display.show_verdict(name, computed)

    def figure(self, figure, name, *, title, caption, alt, data):
        """Save a figure and its data under a stable id, close it and display it.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The drawing.
        name : str
            Its id, in kebab case, unique in the whole book; its label there is ``fig-<name>``.
        title, caption, alt : str
            A few words in plain text; what is seen, in Markdown with ``$math$``; the same for who cannot see it,
            in plain text.
        data : mapping or DataFrame
            The plotted data, columns of equal length.

        Notes
        -----
        How long it took is recorded apart, in seconds from the start of the chapter, or from the figure before, to this
        call: what it took to compute and to draw this figure.

        Raises
        ------
        FigureError
            If the id is taken or malformed, a text or the data is missing, or columns differ in length.
        """
        import matplotlib.pyplot as plt

        figures.check_text(name, title=title, caption=caption, alt=alt)
        if name in self._figures:
            raise FigureError(f"expected a figure id that this chapter has not used, got {name!r} again")
        contents = figures.render(name, figure, data)
        plt.close(figure)
        files = figures.file_names(name)
        for extension, file in files.items():
            write_whole(self._folder / "figures" / file, contents[extension])
        write_whole(self._folder / "figures" / "thumbnails" / f"{name}.thumb.png", contents["thumbnail"])
        now = time.monotonic()
        self._figures[name] = {
            "id": name,
            "title": title,
            "caption": caption,
            "alt": alt,
            "parameters": self._parameters,
            "files": files,
            "sha256": {extension: figures.checksum(contents[extension]) for extension in files},
            **provenance.stamp(),
        }
        self._durations[name] = round(now - self._since, 3)
        self._since = now
        self._write()
        display.show_figure(name, title, alt, contents["png"])

    def glue(self, name, value, fmt=""):
        """Make a number available to this notebook's prose as ``{glue:text}`name` ``.

        Parameters
        ----------
        fmt : str
            A format specification such as ``".3f"``; powers of ten come out as ``1.2 × 10⁻⁹``.
        """
        number = value.item() if hasattr(value, "item") else value
        display.glue(name, display.number_text(number, fmt))
