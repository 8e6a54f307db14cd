"""From evidence to verdict: pure functions, so that no verdict is ever typed by hand.

A piece of evidence compares a number with a bound. What the comparison is about decides how it counts:

===================== ================================================================= ==========
about                 meaning                                                           may fail
===================== ================================================================= ==========
printed               the statement as printed, under exactly its printed hypotheses    yes
limit                 its convergence with width                                        yes
condition             its whole conclusion, under an added hypothesis                   yes
equivalent            an approximation without a full proof: its measured error         yes
no effect of interest a part of a finding: its effect is too small to matter            yes
confirmed             a part of a finding: its effect has the sign that was found       yes
contradicted          a part of a finding: its effect has the other sign                yes
corrected             the statement that holds instead                                  no
control               a negative control, or a second route to the same number          no
===================== ================================================================= ==========
"""

import math
import operator
import re
from dataclasses import asdict, dataclass
from numbers import Integral, Real

from lorantk.publishing.errors import EvidenceError, VerdictError

RELATIONS = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
SUPPORT = ("corrected", "control")
ABOUT = {
    "definition": ("printed", "limit", "condition", "equivalent", *SUPPORT),
    "claim": ("printed", "limit", "condition", "equivalent", *SUPPORT),
    "finding": ("no effect of interest", "confirmed", "contradicted", *SUPPORT),
}
FAILS = "fails as printed"
STATEMENT = ("holds exactly", "holds in the limit", "holds under a condition", "deterministic equivalent", FAILS)
VERDICTS = {
    "definition": STATEMENT,
    "claim": STATEMENT,
    "finding": ("confirmed", "undecided at this power", "no effect of interest", "contradicted"),
}


@dataclass(frozen=True)
class Evidence:
    """One comparison ``value relation bound``, in `unit`; build one with `evidence`."""

    key: str
    value: int | float
    relation: str
    bound: int | float
    unit: str
    about: str
    part: str | None = None
    case: str | None = None
    chance: float | str = 0.0

    @property
    def name(self):
        """Key and case, for messages."""
        return self.key if self.case is None else f"{self.key} ({self.case})"

    @property
    def passed(self):
        """Whether the comparison holds."""
        return RELATIONS[self.relation](self.value, self.bound)

    def record(self):
        """The evidence as a JSON object, with `passed`, and without the fields that are None."""
        fields = {key: entry for key, entry in asdict(self).items() if entry is not None}
        return fields | {"passed": self.passed}


KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _number(value, role, name):
    """`value` as a finite int or float; NumPy and JAX scalars and fractions are converted."""
    plain = value.item() if getattr(value, "size", None) == 1 else value
    if not isinstance(plain, Real):
        raise EvidenceError(f"expected one real number as {role} of evidence {name!r}, got {value!r}")
    number = int(plain) if isinstance(plain, Integral) else float(plain)
    if not math.isfinite(number):
        raise EvidenceError(f"expected a finite {role} of evidence {name!r}, got {number}")
    return number


def evidence(key, value, relation, bound, *, kind, unit="1", about="printed", part=None, case=None, chance=0.0):
    """Check and build one piece of evidence for a claim of the given kind.

    Numbers are compared as they are recorded: integers exactly, everything else in double precision.

    Raises
    ------
    EvidenceError
        If the value or the bound is not a finite number, or a word is unknown.
    """
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        raise EvidenceError(f"expected a key in kebab case, such as 'largest-eigenvalue', got {key!r}")
    if relation not in RELATIONS:
        raise EvidenceError(f"expected a relation out of {' '.join(RELATIONS)} for evidence {key!r}, got {relation!r}")
    if about not in ABOUT[kind]:
        raise EvidenceError(f"expected about in {ABOUT[kind]} for evidence {key!r} of a {kind}, got {about!r}")
    if not (isinstance(chance, str) and chance.strip()):
        chance = _number(chance, "chance", key)
        if not 0 <= chance <= 1:
            raise EvidenceError(f"expected a probability as chance of evidence {key!r}, or a reason in words, got {chance}")
    value, bound = _number(value, "value", key), _number(bound, "bound", key)
    return Evidence(key, value, relation, bound, unit, about, part, case, chance)


def _all_passed(pieces):
    """Whether there is at least one piece and every one passed."""
    return bool(pieces) and all(piece.passed for piece in pieces)


def _part(name, pieces):
    """The outcome of one part of a finding: what its evidence shows first, in the order of `ABOUT`."""
    missing = {"no effect of interest", "confirmed"} - {piece.about for piece in pieces}
    if missing:
        raise VerdictError(f"expected evidence about {' and '.join(map(repr, sorted(missing)))} of part {name!r}, got none")
    shown = {piece.about for piece in pieces if piece.passed}
    return next((about for about in ABOUT["finding"] if about in shown), "undecided at this power")


def _finding(pieces, every):
    """The verdict on a finding: the worst outcome of its parts or, if one of them is enough, the best."""
    parts = {}
    for piece in pieces:
        parts.setdefault(piece.part, []).append(piece)
    if not parts:
        raise VerdictError("expected evidence about at least one part of the finding, got none")
    outcomes = [_part(name, group) for name, group in parts.items()]
    return (max if every else min)(outcomes, key=VERDICTS["finding"].index)


def _statement(*about):
    """The verdict on a definition or a claim: the strongest that its evidence supports."""
    for verdict, pieces in zip(STATEMENT[:-1], about, strict=True):
        if _all_passed(pieces):
            return verdict
    if not about[0]:
        words = "'limit', 'condition' or 'equivalent'"
        raise VerdictError(f"expected evidence about 'printed', or passing evidence about {words}, got none")
    return FAILS


def compute_verdict(kind, pieces, every=True):
    """The verdict that follows from evidence.

    Parameters
    ----------
    kind : str
        Kind of the claim, a key of `VERDICTS`.
    pieces : sequence of Evidence
        All evidence recorded for it.
    every : bool
        Whether a finding needs all of its parts, or one is enough.

    Returns
    -------
    str
        One of ``VERDICTS[kind]``. For definitions and claims, the first that applies: all evidence about the printed
        statement passed; all about the limit; all under an added condition; all about the measured error of an equivalent;
        otherwise the statement fails. For a finding, from the outcomes of its parts: the worst of them if it needs every
        part, else the best.

    Raises
    ------
    EvidenceError
        If evidence about a correction or a control fails, which means that something is wrong with the chapter.
    VerdictError
        If there is too little evidence for any verdict.
    """
    for piece in pieces:
        if piece.about in SUPPORT and not piece.passed:
            expected = f"{piece.relation} {piece.bound}"
            raise EvidenceError(f"expected {expected} of {piece.about} evidence {piece.name!r}, got {piece.value}")
    about = {word: [piece for piece in pieces if piece.about == word] for word in ABOUT[kind]}
    if kind == "finding":
        return _finding([piece for piece in pieces if piece.about not in SUPPORT], every)
    return _statement(*(about[word] for word in ABOUT[kind] if word not in SUPPORT))


def conclude(kind, pieces, stated, certificate=None, every=True):
    """Compute the verdict and check it against the one that the chapter states.

    Raises
    ------
    VerdictError
        If the two differ, or a statement that fails has no certificate.
    EvidenceError
        As in `compute_verdict`.
    """
    if stated not in VERDICTS[kind]:
        raise VerdictError(f"expected a verdict out of {VERDICTS[kind]} on a {kind}, got {stated!r}")
    computed = compute_verdict(kind, pieces, every)
    if computed != stated:
        raise VerdictError(f"expected the verdict that the evidence carries, {computed!r}, got {stated!r}")
    if computed == FAILS and certificate is None:
        raise VerdictError(f"expected a certificate for the verdict {FAILS!r}, got none")
    return computed
