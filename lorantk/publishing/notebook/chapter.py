"""What a notebook records: evidence, verdicts, figures and the numbers of its text.

Their words are in Markdown cells, see `lorantk.publishing.notebook.words`.
"""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from lorantk.disk import project_root, write_whole
from lorantk.publishing.errors import ClaimError, EvidenceError, FigureError, PublishingError, VerdictError
from lorantk.publishing.json_files import DURATIONS, RECORD, json_bytes, plain
from lorantk.publishing.notebook import claims, display, figures, provenance, style, tables, verdicts

PROFILES = ("default", "paper", "smoke")
SIZE_ORDER = ("smoke", "default", "paper")


def records_folder():
    """Where this notebook's records go.

    `LORANTK_RECORDS` if it is set, as it is when the book is built; otherwise
    `_build/interactive/records/<notebook>` of the enclosing project.
    """
    if folder := os.environ.get("LORANTK_RECORDS"):
        return Path(folder)
    notebook = Path(os.environ.get("JPY_SESSION_NAME", "scratch")).stem
    return project_root() / "_build" / "interactive" / "records" / notebook


@dataclass
class _Judgement:
    """What a chapter has recorded about one claim so far."""

    claim: claims.Claim
    evidence: list = field(default_factory=list)
    certificate: dict | None = None
    verdict: str | None = None

    def record(self):
        """The judgement as a JSON object."""
        pieces = [piece.record() for piece in self.evidence]
        entry = {"id": self.claim.id, "verdict": self.verdict, "evidence": pieces}
        return entry if self.certificate is None else entry | {"certificate": self.certificate}


class Chapter:
    """The records of one notebook; create it in the set-up cell.

    Creating it applies the style of figures and tables and deletes the records of an earlier run. Every later step is
    written to disk at once, so that the records always say how far the notebook got.

    Parameters
    ----------
    *names : str
        Ids of the claims that the notebook judges; none for a chapter that only explains, which may
        make checks instead.
    profile : str
        One of `PROFILES`.
    parameters : dict, optional
        The notebook's parameters; they become part of every figure's provenance.

    Raises
    ------
    ClaimError
        If an id is unknown or given twice.
    PublishingError
        If the profile is unknown or JSON cannot represent a parameter.
    """

    def __init__(self, *names, profile="default", parameters=None):
        if len(set(names)) != len(names):
            raise ClaimError(f"expected claim ids, each once, got {names}")
        if profile not in PROFILES:
            raise PublishingError(f"expected a profile out of {PROFILES}, got {profile!r}")
        self._judgements = {name: _Judgement(claims.claim(name)) for name in names}
        self._parameters = {"profile": profile, **plain("parameters", parameters or {})}
        self._checks, self._numbers = [], {}
        self._figures, self._durations = {}, {}
        self._since = time.monotonic()
        self._folder = records_folder()
        shutil.rmtree(self._folder / "figures", ignore_errors=True)
        style.use()
        tables.use()
        self._write()

    def _write(self):
        """Bring the record on disk up to date."""
        record = {
            "parameters": self._parameters,
            "claims": [judgement.record() for judgement in self._judgements.values()],
            "checks": [piece.record() for piece in self._checks],
            "figures": list(self._figures.values()),
            "numbers": self._numbers,
        }
        write_whole(self._folder / RECORD, json_bytes(record))
        write_whole(self._folder / DURATIONS, json_bytes(self._durations))

    def _judgement(self, name):
        """What is recorded about claim `name`, which may be left out if the chapter has only one."""
        if name is None and len(self._judgements) == 1:
            return next(iter(self._judgements.values()))
        if name not in self._judgements:
            known = ", ".join(self._judgements) or "it judges none: use check"
            raise ClaimError(f"expected claim= as one of this chapter's ({known}), got {name!r}")
        return self._judgements[name]

    def _open(self, name):
        """As `_judgement`, for a claim that has not been judged."""
        judgement = self._judgement(name)
        if judgement.verdict is not None:
            raise VerdictError(f"expected everything on {judgement.claim.id!r} before its verdict, got more after it")
        return judgement

    def sizes(self, **sizes):
        """Sizes that depend on the profile.

        Parameters
        ----------
        **sizes
            For each name, its values at the profiles ``smoke``, ``default`` and ``paper``, in this order.

        Returns
        -------
        SimpleNamespace
            The values at this chapter's profile, as attributes.

        Raises
        ------
        PublishingError
            If a name does not have three values.

        Examples
        --------
        >>> size = chapter.sizes(features=(256, 2048, 4096))  # doctest: +SKIP
        >>> size.features  # doctest: +SKIP
        2048
        """
        place = SIZE_ORDER.index(self._parameters["profile"])
        for name, values in sizes.items():
            if not (isinstance(values, tuple) and len(values) == len(SIZE_ORDER)):
                raise PublishingError(f"expected {name}=({', '.join(SIZE_ORDER)}), got {values!r}")
        return SimpleNamespace(**{name: values[place] for name, values in sizes.items()})

    def evidence(self, key, value, relation, bound, unit="1", about="printed", claim=None, part=None, case=None, chance=0.0):
        """Record that ``value relation bound`` was tested, and whether it holds.

        Parameters
        ----------
        key : str
            A short name in kebab case; the sentence that says what was compared is in the chapter's
            ``{verdict}`` directive, see `lorantk.publishing.notebook.words`.
        value, bound : number
            Finite real numbers.
        relation : str
            One of ``<= < >= > == !=``.
        unit : str
            ``"1"`` for pure numbers.
        about : str
            What the comparison is about, see `lorantk.publishing.notebook.verdicts`.
        claim : str, optional
            Required if the chapter judges several.
        part : str, optional
            For a finding: the part that the comparison is about, if there are several.
        case : str, optional
            If several pieces share a key: the words for this one, which go before the sentence.
        chance : float or str
            The probability, over the choice of the seed, that this comes out the other way; 0 if no chance is involved, or
            none that could change the outcome. If the probability is unknown, the reason in words.

        Raises
        ------
        EvidenceError
            If a number is not finite, a word is unknown, or key and case were used before.
        """
        judgement = self._open(claim)
        kind = judgement.claim.kind
        words = {"unit": unit, "about": about, "part": part, "case": case, "chance": chance}
        piece = verdicts.evidence(key, value, relation, bound, kind=kind, **words)
        self._keep(piece, judgement.evidence)

    def _keep(self, piece, pieces):
        """Add a piece whose name is new."""
        if any(piece.name == other.name for other in pieces):
            raise EvidenceError(f"expected a key, or a case, that was not used yet, got {piece.name!r} again")
        pieces.append(piece)
        self._write()

    def check(self, key, value, relation, bound, unit="1", case=None, chance=0.0):
        """Record that ``value relation bound`` holds, independently of any claim; if it does not, stop the build.

        Parameters
        ----------
        key, value, relation, bound, unit, case, chance
            As in `evidence`; the sentence is in the chapter's ``{checks}`` directive.

        Raises
        ------
        EvidenceError
            If the comparison does not hold, a number is not finite, or the relation is unknown.
        """
        words = {"unit": unit, "about": "control", "case": case, "chance": chance}
        piece = verdicts.evidence(key, value, relation, bound, kind="claim", **words)
        if not piece.passed:
            raise EvidenceError(f"expected {relation} {piece.bound} of check {piece.name!r}, got {piece.value}")
        self._keep(piece, self._checks)

    def certificate(self, objects, claim=None):
        """Record the objects of a certificate; its words are in the chapter's ``{certificate}`` directive.

        Parameters
        ----------
        objects : dict
            What a reader needs to check it by hand; exact rationals are strings such as ``"4/5"``.

        Raises
        ------
        VerdictError
            If there are no objects.
        PublishingError
            If JSON cannot represent an object.
        """
        if not (isinstance(objects, dict) and objects):
            raise VerdictError(f"expected the objects of a certificate as a dict, got {objects!r}")
        self._open(claim).certificate = plain("certificate", objects)
        self._write()

    def conclude(self, verdict, claim=None, every=True):
        """Compute the verdict, check it against the one stated here, and record it.

        Parameters
        ----------
        verdict : str
            The verdict that the chapter expects.
        every : bool
            For a finding: whether it needs all of its parts, or one is enough.

        Raises
        ------
        VerdictError
            If the evidence gives another verdict, or a certificate is missing.
        EvidenceError
            If a control or the corrected statement fails.
        """
        judgement = self._open(claim)
        kind, name = judgement.claim.kind, judgement.claim.id
        judgement.verdict = verdicts.conclude(kind, judgement.evidence, verdict, judgement.certificate, every)
        self._write()
        display.show_verdict(name, judgement.verdict, judgement.evidence)

    def figure(self, figure, name, data):
        """Save a figure and its data under a stable id, close it and display it.

        Its title, caption and alternative text are in an ``{evidence-figure}`` directive of the chapter's text.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The drawing.
        name : str
            Its id, in kebab case and unique in the whole book, where its label is ``fig-<name>``.
        data : mapping or DataFrame
            The plotted data, in columns of equal length.

        Notes
        -----
        The time that the figure took is recorded separately: the seconds from the previous figure, or from the start of the
        chapter, to this call.

        Raises
        ------
        FigureError
            If the id is taken or malformed, the data are missing, or columns differ in length.
        """
        import matplotlib.pyplot as plt

        figures.check_name(name)
        if name in self._figures:
            raise FigureError(f"expected a figure id that this chapter has not used, got {name!r} again")
        contents = figures.render(name, figure, data, tiny=self._parameters["profile"] == "smoke")
        plt.close(figure)
        files = figures.file_names(name)
        for extension, file in files.items():
            write_whole(self._folder / "figures" / file, contents[extension])
        write_whole(self._folder / "figures" / "thumbnails" / f"{name}.thumb.png", contents["thumbnail"])
        now = time.monotonic()
        self._figures[name] = {
            "id": name,
            "parameters": self._parameters,
            "files": files,
            "sha256": {extension: figures.checksum(contents[extension]) for extension in files},
            **provenance.stamp(),
        }
        self._durations[name] = round(now - self._since, 3)
        self._since = now
        self._write()
        display.show_figure(name, contents["png"])

    def glue(self, **numbers):
        """Make numbers, or words, available to this notebook's text as ``{glue:text}`name:.3f` ``.

        Powers of ten are written as ``1.2 × 10⁻⁹``. A later call replaces a number of the same name.

        Raises
        ------
        PublishingError
            If JSON cannot represent a number, such as NaN.
        """
        for name, value in numbers.items():
            self._numbers |= plain(f"number {name}", {name: value.item() if hasattr(value, "item") else value})
        self._write()
