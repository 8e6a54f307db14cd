"""Which words of a text are terms of the glossary."""

import pytest

from lorantk.publishing.site.sphinx_ext.terms import first_use, pattern

TERMS = ("adapter", "drop", "lift", "same rate", "tuned rate", "tuned rate and step")
USES = pattern(TERMS)


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("LoRA's drop is larger", "drop"),
        ("Lift and more", "Lift"),
        ("two adapters", "adapters"),
        ("under tuned rate and step", "tuned rate and step"),
        ("with tuned rate", "tuned rate"),
        ("under same rate", "same rate"),
        ("the step drops a term, and its drop", "drop"),
    ],
)
def test_a_term_is_found(text, use):
    assert first_use(text, USES, TERMS)[0] == use


@pytest.mark.parametrize(
    "text",
    ["the absolute value drops", "the product lifts the rank", "they drop out", "at the same rate", "raindrop", "drop-in"],
)
def test_other_uses_of_a_word_are_no_terms(text):
    assert first_use(text, USES, TERMS) is None


def test_a_part_of_a_longer_term_is_no_use():
    assert first_use("tuned rate and step", USES, ["tuned rate"]) is None
    assert first_use("tuned rate and step, or tuned rate", USES, ["tuned rate"]).start() == 24
