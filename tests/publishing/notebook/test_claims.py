"""The registry lists every statement once, and the verdict words of its schema are those of the code."""

import pytest

from lorantk.publishing.errors import ClaimError
from lorantk.publishing.graph.records import schema
from lorantk.publishing.notebook.claims import CLAIMS, KINDS, OTHER, OWN, claim
from lorantk.publishing.notebook.verdicts import ABOUT, RELATIONS, VERDICTS

DEFINITIONS = "def-lora def-ntk def-upa def-bpa def-ib def-renyi def-ff"
PAPER = (
    "ntk-deterministic ntk-constancy fisher-ntk ff-recursion lora-lemma ff-lora-relation nsd ideal-full-rank "
    "ib-inequality renyi-inequality bridge"
)
FINDINGS = "finding-upa-bpa finding-rank finding-variance finding-low-rank finding-small-variance"
LANGUAGE = "language-upa-bpa language-rank language-variance language-low-rank language-small-variance"
OTHERS = "other-noise other-lifespan other-spectra other-norms other-variants"
RESULTS = (
    "mean-order gram-condition trained-order ib-law cosine-floor gauge lazy-criterion matched-rate "
    "rank-order head-variance rate-is-time capacity effective-ridge rank-sign"
)
OWN_FINDINGS = "frozen-trade-off start-kernel"


def test_every_statement_is_listed_once_with_its_kind():
    expected = {
        "definition": set(DEFINITIONS.split()),
        "claim": set(PAPER.split()) | set(RESULTS.split()),
        "finding": set(FINDINGS.split()) | set(LANGUAGE.split()) | set(OTHERS.split()) | set(OWN_FINDINGS.split()),
    }
    assert {kind: {entry.id for entry in CLAIMS if entry.kind == kind} for kind in KINDS} == expected
    assert len(CLAIMS) == len({entry.id for entry in CLAIMS}) == 49


def test_claims_of_other_papers_name_them():
    assert [entry.id for entry in CLAIMS if entry.source.startswith(OTHER)] == OTHERS.split()


def test_own_results_come_last():
    own = [*RESULTS.split(), *OWN_FINDINGS.split()]
    assert [entry.id for entry in CLAIMS if entry.source == OWN] == own
    assert [entry.id for entry in CLAIMS[-len(own) :]] == own


def test_an_unknown_id_is_refused():
    assert claim("nsd").source == "theorem after equation 11"
    with pytest.raises(ClaimError, match="expected a claim id of the registry .*nsd.*, got 'nsb'"):
        claim("nsb")


def test_schema_and_code_know_the_same_words():
    properties = schema("claims")["items"]["properties"]
    piece = schema("claims")["$defs"]["evidence"]["properties"]
    assert set(properties["verdict"]["enum"]) == {None}.union(*VERDICTS.values())
    assert set(properties["kind"]["enum"]) == set(KINDS) == set(VERDICTS) == set(ABOUT)
    assert set(piece["about"]["enum"]) == set().union(*ABOUT.values())
    assert set(piece["relation"]["enum"]) == set(RELATIONS)
