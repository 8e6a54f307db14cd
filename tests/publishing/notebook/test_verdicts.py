"""A verdict depends on the evidence and on nothing else."""

import itertools
import operator
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.publishing.errors import EvidenceError, VerdictError
from lorantk.publishing.notebook.verdicts import RELATIONS, compute_verdict, conclude, evidence

OBJECTS = {"A": 1}
OUTCOMES = [(), (True,), (False,), (True, True), (True, False), (False, False)]


def piece(passed, about, kind="claim", protocol=None):
    """Return evidence that passes or fails."""
    return evidence("a-number", 0 if passed else 2, "<=", 1, kind=kind, about=about, protocol=protocol)


def pieces(**outcomes):
    """Return evidence for a claim: for each word, one piece per outcome."""
    return [piece(passed, about) for about, group in outcomes.items() for passed in group]


@pytest.mark.parametrize("printed", OUTCOMES)
@pytest.mark.parametrize("limit", OUTCOMES)
@pytest.mark.parametrize("condition", OUTCOMES)
@pytest.mark.parametrize("kind", ["definition", "claim"])
def test_every_mixture_of_evidence_has_the_verdict_of_the_rule(kind, printed, limit, condition):
    found = pieces(printed=printed, limit=limit, condition=condition)
    if printed and False not in printed:
        expected = "holds exactly"
    elif limit and False not in limit:
        expected = "holds in the limit"
    elif condition and False not in condition:
        expected = "holds under a condition"
    elif False in printed:
        expected = "fails as printed"
    else:
        with pytest.raises(VerdictError, match="expected evidence about 'printed'"):
            compute_verdict(kind, found)
        return
    assert compute_verdict(kind, found) == expected
    assert compute_verdict(kind, [*found, piece(True, "corrected"), piece(True, "control")]) == expected
    assert all(compute_verdict(kind, list(order)) == expected for order in itertools.islice(itertools.permutations(found), 6))


@pytest.mark.parametrize("outcomes", [group for size in range(1, 4) for group in itertools.product([True, False], repeat=size)])
@pytest.mark.parametrize("named", [True, False])
def test_a_finding_is_judged_by_protocol(outcomes, named):
    found = [
        evidence(f"effect-{number}", not passed, "==", 0, kind="finding", about="replicated", protocol=named and f"p{number}")
        for number, passed in enumerate(outcomes)
    ]
    expected = "replicated" if all(outcomes) else "depends on the protocol" if any(outcomes) else "not replicated"
    assert compute_verdict("finding", found) == expected


def test_a_protocol_passes_only_if_all_of_its_evidence_does():
    found = [piece(True, "replicated", "finding", "sgd"), piece(False, "replicated", "finding", "sgd")]
    assert compute_verdict("finding", found) == "not replicated"
    found += [piece(True, "replicated", "finding", "adam")]
    assert compute_verdict("finding", found) == "depends on the protocol"


def test_a_finding_without_protocol_has_no_verdict():
    with pytest.raises(VerdictError, match="at least one protocol, got none"):
        compute_verdict("finding", [piece(True, "control", "finding")])


@pytest.mark.parametrize("kind", ["definition", "claim", "finding"])
@pytest.mark.parametrize("about", ["corrected", "control"])
def test_a_failing_control_or_correction_stops_the_build(kind, about):
    main = "replicated" if kind == "finding" else "printed"
    with pytest.raises(EvidenceError, match=f"expected <= 1 of {about} evidence 'a-number', got 2"):
        compute_verdict(kind, [piece(True, main, kind), piece(False, about, kind)])


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
        ({"about": "replicated"}, "expected about in .* of a claim, got 'replicated'"),
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
    assert "protocol" not in record
    assert evidence("x", 1, "<=", 2, kind="claim").record()["chance"] == 0.0
