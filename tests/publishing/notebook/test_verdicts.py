"""A verdict depends on the evidence and on nothing else."""

import itertools
import operator
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.experiments.common import equivalence
from lorantk.publishing.errors import EvidenceError, VerdictError
from lorantk.publishing.notebook.verdicts import ABOUT, RELATIONS, VERDICTS, compute_verdict, conclude, evidence

OBJECTS = {"A": 1}
OUTCOMES = [(), (True,), (False,), (True, True), (True, False), (False, False)]


def piece(passed, about, kind="claim", part=None):
    """Return evidence that passes or fails."""
    return evidence("a-number", 0 if passed else 2, "<=", 1, kind=kind, about=about, part=part)


def pieces(**outcomes):
    """Return evidence for a claim: for each word, one piece per outcome."""
    return [piece(passed, about) for about, group in outcomes.items() for passed in group]


@pytest.mark.parametrize("printed", OUTCOMES)
@pytest.mark.parametrize("limit", OUTCOMES)
@pytest.mark.parametrize("condition", OUTCOMES)
@pytest.mark.parametrize("equivalent", [(), (True,), (True, False)])
@pytest.mark.parametrize("kind", ["definition", "claim"])
def test_every_mixture_of_evidence_has_the_verdict_of_the_rule(kind, printed, limit, condition, equivalent):
    found = pieces(printed=printed, limit=limit, condition=condition, equivalent=equivalent)
    if printed and False not in printed:
        expected = "holds exactly"
    elif limit and False not in limit:
        expected = "holds in the limit"
    elif condition and False not in condition:
        expected = "holds under a condition"
    elif equivalent and False not in equivalent:
        expected = "deterministic equivalent"
    elif False in printed:
        expected = "fails as printed"
    else:
        with pytest.raises(VerdictError, match="expected evidence about 'printed'"):
            compute_verdict(kind, found)
        return
    assert compute_verdict(kind, found) == expected
    assert compute_verdict(kind, [*found, piece(True, "corrected"), piece(True, "control")]) == expected
    assert all(compute_verdict(kind, list(order)) == expected for order in itertools.islice(itertools.permutations(found), 6))


FINDING = VERDICTS["finding"]
SHOWN = {
    "no effect of interest": (True, True, False),  # known to be there, but small
    "confirmed": (False, True, False),
    "contradicted": (False, False, True),
    "undecided at this power": (False, False, False),
}


def part(outcome, name):
    """Return the evidence on one part of a finding that has this outcome."""
    return [
        evidence(f"a-{number}", 0 if passed else 2, "<=", 1, kind="finding", about=about, part=name)
        for number, (about, passed) in enumerate(zip(ABOUT["finding"][:3], SHOWN[outcome], strict=True))
    ]


@pytest.mark.parametrize("outcomes", [group for size in (1, 2, 3) for group in itertools.product(FINDING, repeat=size)])
def test_a_finding_is_as_good_as_its_worst_part_or_as_its_best(outcomes):
    found = [piece for number, outcome in enumerate(outcomes) for piece in part(outcome, f"part {number}")]
    assert compute_verdict("finding", found) == max(outcomes, key=FINDING.index)
    assert compute_verdict("finding", found, every=False) == min(outcomes, key=FINDING.index)
    assert conclude("finding", found, min(outcomes, key=FINDING.index), every=False)


def test_the_outcomes_are_those_of_the_rule():
    assert FINDING[::-1] == equivalence.OUTCOMES


def test_a_part_needs_both_comparisons():
    with pytest.raises(VerdictError, match="expected evidence about 'no effect of interest' of part 'lift', got none"):
        compute_verdict("finding", [piece(True, "confirmed", "finding", "lift")])
    with pytest.raises(VerdictError, match="expected evidence about at least one part of the finding, got none"):
        compute_verdict("finding", [piece(True, "control", "finding")])


@pytest.mark.parametrize("kind", ["definition", "claim", "finding"])
@pytest.mark.parametrize("about", ["corrected", "control"])
def test_a_failing_control_or_correction_stops_the_build(kind, about):
    main = [piece(True, "printed", kind)] if kind != "finding" else part("confirmed", None)
    with pytest.raises(EvidenceError, match=f"expected <= 1 of {about} evidence 'a-number', got 2"):
        compute_verdict(kind, [*main, piece(False, about, kind)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), np.float64("nan"), jnp.nan])
@pytest.mark.parametrize("role", ["value", "bound"])
def test_evidence_that_is_not_finite_is_refused_by_name(bad, role):
    numbers = {"value": 0.0, "bound": 1.0} | {role: bad}
    with pytest.raises(EvidenceError, match=f"expected a finite {role} of evidence 'drift', got"):
        evidence("drift", numbers["value"], "<=", numbers["bound"], kind="claim")


@pytest.mark.parametrize("bad", ["0.5", None, 1j, np.zeros(2), [1.0]])
def test_evidence_that_is_not_a_number_is_refused(bad):
    with pytest.raises(EvidenceError, match="expected one real number as value of evidence 'drift', got"):
        evidence("drift", bad, "<=", 1.0, kind="claim")


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), np.float32(0.5), jnp.asarray(0.5), Fraction(1, 2)])
def test_scalars_of_every_library_are_recorded_as_plain_numbers(value):
    record = evidence("half", value, "==", 0.5, kind="claim").record()
    assert record["passed"] is True
    assert type(record["value"]) is float


@pytest.mark.parametrize("value", [3, np.int64(3), jnp.asarray(3), True + 2])
def test_integers_stay_integers(value):
    assert type(evidence("three", value, "==", 3, kind="claim").record()["value"]) is int


@pytest.mark.parametrize(("relation", "value"), list(itertools.product(RELATIONS, (-1, 0, 1))))
def test_relations_mean_what_they_say(relation, value):
    names = {"<=": "le", "<": "lt", ">=": "ge", ">": "gt", "==": "eq", "!=": "ne"}
    assert evidence("x", value, relation, 0, kind="claim").passed is getattr(operator, names[relation])(value, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relation": "≤"}, "expected a relation out of"),
        ({"about": "confirmed"}, "expected about in .* of a claim, got 'confirmed'"),
        ({"key": "Two words"}, "expected a key in kebab case, such as 'largest-eigenvalue', got 'Two words'"),
        ({"key": None}, "expected a key in kebab case"),
        ({"chance": 1.5}, "expected a probability as chance of evidence 'x', or a reason in words, got 1.5"),
        ({"chance": " "}, "expected one real number as chance of evidence 'x', got ' '"),
    ],
)
def test_malformed_evidence_is_refused(change, message):
    arguments = {"key": "x", "value": 0, "relation": "<=", "bound": 1, "kind": "claim", "about": "printed"} | change
    with pytest.raises(EvidenceError, match=message):
        evidence(**arguments)


def test_a_stated_verdict_must_be_the_computed_one():
    found = pieces(printed=[True])
    assert conclude("claim", found, "holds exactly") == "holds exactly"
    with pytest.raises(VerdictError, match="expected the verdict that the evidence carries, 'holds exactly', got"):
        conclude("claim", found, "holds in the limit")
    with pytest.raises(VerdictError, match="expected a verdict out of .*, got 'true'"):
        conclude("claim", found, "true")
    with pytest.raises(VerdictError, match="expected a verdict out of .* on a finding, got 'holds exactly'"):
        conclude("finding", found, "holds exactly")


def test_a_statement_fails_only_with_a_certificate():
    found = pieces(printed=[False])
    with pytest.raises(VerdictError, match="expected a certificate"):
        conclude("claim", found, "fails as printed")
    assert conclude("claim", found, "fails as printed", certificate=OBJECTS) == "fails as printed"


def test_evidence_is_recorded_with_its_case_and_its_chance():
    record = evidence("x", 1, "<=", 2, kind="claim", case="r = 8", chance="nobody knows").record()
    assert (record["case"], record["chance"]) == ("r = 8", "nobody knows")
    assert "part" not in record
    assert evidence("x", 1, "<=", 2, kind="claim").record()["chance"] == 0.0
