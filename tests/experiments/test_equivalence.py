"""The rule of verdicts on made-up effects, for which the answer is known."""

import itertools
import operator

import numpy as np
import pytest
from scipy import stats

from lorantk.experiments.common import equivalence
from lorantk.experiments.common.effects import PARTS, Effect
from lorantk.experiments.common.equivalence import CONFIRMED, CONTRADICTED, NEGLIGIBLE, OUTCOMES, SMALLEST, UNDECIDED, VOID
from lorantk.experiments.common.statistics import paired_interval

SEEDS = 20
SETTINGS = ("here", "there")


def made(part, mean, *, spread=0.01, setting="here", protocol="v", seeds=SEEDS, **options):
    """Return an effect with exactly this mean, whose seeds scatter by about `spread`."""
    noise = np.random.default_rng(len(part)).standard_normal(seeds)
    return Effect(part, protocol, setting, mean + spread * (noise - noise.mean()), **options)


def everywhere(means, **options):
    return [made(part, mean, setting=setting, **options) for part, mean in means.items() for setting in SETTINGS]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, CONFIRMED),
        (-0.02, -0.001, CONTRADICTED),
        (-0.009, 0.009, NEGLIGIBLE),
        (0.001, 0.009, NEGLIGIBLE),  # known to be there, and known to be small
        (-0.009, -0.001, NEGLIGIBLE),
        (-0.001, 0.02, UNDECIDED),
        (-0.02, 0.02, UNDECIDED),
        (0.0, 0.02, UNDECIDED),
        (-0.01, 0.005, UNDECIDED),  # reaches the smallest effect of interest
    ],
)
def test_an_interval_has_the_outcome_of_the_rule(low, high, expected):
    assert equivalence.outcome(low, high, smallest=0.01) == expected
    undirected = CONFIRMED if expected == CONTRADICTED else expected
    assert equivalence.outcome(low, high, smallest=0.01, directed=False) == undirected


def test_a_finding_is_as_good_as_its_worst_part_or_as_its_best():
    for a, b in itertools.product(OUTCOMES, repeat=2):
        assert OUTCOMES.index(equivalence.combine([a, b])) == min(OUTCOMES.index(a), OUTCOMES.index(b))
        assert OUTCOMES.index(equivalence.combine([a, b], every=False)) == max(OUTCOMES.index(a), OUTCOMES.index(b))
    assert equivalence.combine([CONFIRMED, UNDECIDED]) == UNDECIDED
    assert equivalence.combine([CONFIRMED, CONTRADICTED]) == CONTRADICTED


def test_two_systems_have_one_word_if_they_agree_or_one_is_undecided():
    for a, b in itertools.product(OUTCOMES, repeat=2):
        word = equivalence.overall([a, b])
        if a == b:
            assert word == a
        elif UNDECIDED in (a, b):
            assert word == f"{a if b == UNDECIDED else b} on one system"
        else:
            assert word == "depends on the system"


def test_a_verdict_can_come_out_in_each_of_the_four_ways():
    built_in = {
        CONFIRMED: {"arms-drop": 0.05, "arms-lift": 0.2},
        CONTRADICTED: {"arms-drop": 0.05, "arms-lift": -0.2},
        NEGLIGIBLE: {"arms-drop": 0.0, "arms-lift": 0.2},
    }
    for expected, means in built_in.items():
        assert equivalence.verdict("finding-upa-bpa", everywhere(means)).outcome == expected
    wide = everywhere({"arms-drop": 0.02}, spread=0.1) + everywhere({"arms-lift": 0.2})
    found = equivalence.verdict("finding-upa-bpa", wide)
    assert found.outcome == UNDECIDED
    assert [part.outcome for part in found.parts] == [UNDECIDED, CONFIRMED]


def test_a_finding_without_direction_needs_one_part_and_takes_either_side():
    means = {"variance-drop": -0.05, "variance-lift": 0.0}
    assert equivalence.verdict("finding-variance", everywhere(means)).outcome == CONFIRMED
    assert equivalence.verdict("finding-small-variance", everywhere(means)).outcome == CONTRADICTED
    flat = everywhere(dict.fromkeys(means, 0.0))
    assert equivalence.verdict("finding-variance", flat).outcome == NEGLIGIBLE


def test_the_mean_is_taken_seed_by_seed_and_all_seven_intervals_hold_together():
    noise = np.random.default_rng(0).standard_normal(SEEDS)
    opposite = [Effect("rank-lift", "v", place, 0.1 + sign * noise) for place, sign in (("here", 1), ("there", -1))]
    assert equivalence.mean_over_settings("rank-lift", opposite) == pytest.approx(0.1)
    pair = [made("rank-lift", mean, setting=place) for place, mean in (("here", 0.1), ("there", 0.3))]
    found = equivalence.pooled("rank-lift", pair)
    expected = paired_interval((pair[0].differences + pair[1].differences) / 2, comparisons=7)
    assert found.interval == pytest.approx(expected)
    assert len(PARTS) == 7
    other = [effect._replace(protocol="i", differences=-effect.differences) for effect in pair]
    assert equivalence.pooled("rank-lift", pair + other, protocol="i").interval.mean == pytest.approx(-0.2)


def test_void_settings_leave_the_mean_and_a_single_one_is_not_enough():
    three = [made("rank-lift", mean, setting=str(mean)) for mean in (0.1, 0.3, 9.0)]
    three[2] = three[2]._replace(void=True)
    assert equivalence.pooled("rank-lift", three).interval.mean == pytest.approx(0.2)
    one = [effect._replace(void=effect.setting != "0.1") for effect in three]
    assert equivalence.pooled("rank-lift", one).outcome == VOID
    assert equivalence.verdict("finding-rank", one + everywhere({"rank-drop": 0.2})).outcome == UNDECIDED


def test_settings_with_other_seeds_or_no_settings_are_refused():
    uneven = [made("rank-lift", 0.1), made("rank-lift", 0.1, setting="there", seeds=5)]
    with pytest.raises(ValueError, match=r"the same seeds in all settings of rank-lift under \(v\); got 20 in here, 5 in there"):
        equivalence.pooled("rank-lift", uneven)
    with pytest.raises(ValueError, match="got no setting"):
        equivalence.pooled("rank-drop", uneven)


def test_in_settings_all_intervals_of_the_finding_hold_together():
    found = everywhere({"rank-drop": 0.2, "rank-lift": -0.2, "arms-drop": 0.2})
    found[0] = found[0]._replace(void=True)
    judged = equivalence.in_settings("finding-rank", found)
    assert [(j.part, j.outcome) for j in judged] == [
        ("rank-drop", VOID),
        ("rank-drop", CONFIRMED),
        ("rank-lift", CONTRADICTED),
        ("rank-lift", CONTRADICTED),
    ]
    assert judged[1].interval == pytest.approx(paired_interval(found[1].differences, comparisons=4))


@pytest.mark.parametrize("finding", equivalence.FINDINGS)
@pytest.mark.parametrize("mean", [-0.3, -0.02, 0.0, 0.02, 0.3])
def test_the_evidence_decides_as_the_outcome_does(finding, mean):
    parts, _, directed = equivalence.FINDINGS[finding]
    for part in parts:
        judged = equivalence.pooled(part, everywhere({part: mean}, spread=0.03), directed=directed)
        compare = {"<": operator.lt, ">": operator.gt}
        found = [about for _, a, sign, b, about in equivalence.as_evidence(judged) if compare[sign](a, b)]
        assert (found or [UNDECIDED])[0] == judged.outcome


@pytest.mark.parametrize("finding", equivalence.FINDINGS)
def test_the_evidence_of_a_void_part_shows_nothing(finding):
    parts, _, directed = equivalence.FINDINGS[finding]
    for part in parts:
        judged = equivalence.pooled(part, everywhere({part: 0.3}, void=True), directed=directed)
        assert judged.outcome == VOID
        for _, value, _, bound, _ in equivalence.as_evidence(judged):
            assert np.isfinite([value, bound]).all()
        compare = {"<": operator.lt, ">": operator.gt}
        assert not any(compare[sign](a, b) for _, a, sign, b, _ in equivalence.as_evidence(judged))


def test_the_evidence_of_a_finding_names_its_parts():
    judged = equivalence.verdict("finding-rank", everywhere({"rank-drop": 0.2, "rank-lift": -0.2}))
    found = list(equivalence.evidence(judged))
    assert (
        [piece["part"] for piece in found]
        == [piece["case"] for piece in found]
        == [PARTS["rank-drop"]] * 3 + [PARTS["rank-lift"]] * 3
    )
    names = ("key", "value", "relation", "bound", "about")
    assert [tuple(piece[name] for name in names) for piece in found[3:]] == equivalence.as_evidence(judged.parts[1])


def test_so_many_seeds_are_needed_for_a_short_interval():
    found = everywhere({"rank-lift": 0.1}, spread=0.3)
    needed = equivalence.seeds_needed("rank-lift", found)
    scatter = found[0].differences.std(ddof=1)
    reach = []
    for n in (needed - 1, needed):
        noise = np.random.default_rng(0).standard_normal(n)
        as_scattered = scatter * (noise - noise.mean()) / noise.std(ddof=1)
        reach.append(paired_interval(as_scattered, comparisons=len(PARTS)).high)
    assert reach[1] < SMALLEST["lift"] <= reach[0]
    with pytest.raises(ValueError, match="two settings of rank-lift that are not void"):
        equivalence.seeds_needed("rank-lift", everywhere({"rank-lift": 0.1}, void=True))


def test_the_facts_of_a_finding_are_in_points():
    means = {"rank-drop": 0.0, "rank-lift": 0.2}
    found = equivalence.facts("finding-rank", everywhere(means))
    assert found["verdict"] == NEGLIGIBLE
    assert found["seeds"] == SEEDS
    assert found["rank_lift"] == equivalence.pooled("rank-lift", everywhere(means)).interval.points(1)
    assert found["rank_drop"] == equivalence.pooled("rank-drop", everywhere(means)).interval.points(2)
    assert (found["rank_lift_outcome"], found["rank_lift_alone"]) == (CONFIRMED, 2)
    assert found["rank_lift_least"] == found["rank_lift_most"] == pytest.approx(20)


def test_an_outcome_has_its_mark_and_the_key_explains_every_mark():
    marks = []
    for mean in (0.2, 0.0, -0.2):
        judged = equivalence.pooled("rank-lift", everywhere({"rank-lift": mean}))
        marks.append(judged.marked().removeprefix(f"{judged.points()} "))
    assert marks == ["✓", "≈", "✗"]
    assert judged._replace(outcome=VOID).marked() == f"{judged.points()} "
    assert equivalence.MARKS_KEY.split(", ") == [f"✓ {CONFIRMED}", f"? {UNDECIDED}", f"≈ {NEGLIGIBLE}", f"✗ {CONTRADICTED}"]


def test_series_stand_side_by_side_and_judgements_become_columns():
    one, other = everywhere({"low-rank-lift": 0.2}), everywhere({"low-rank-lift": -0.2})
    [row] = equivalence.beside("finding-low-rank", {"one": one, "other": other}).values()
    assert (row["one: outcome"], row["other: outcome"]) == (CONFIRMED, CONTRADICTED)
    judged = equivalence.in_settings("finding-low-rank", one)
    assert equivalence.table(judged)["outcome"] == [CONFIRMED, CONFIRMED]
    assert equivalence.count(judged, CONFIRMED, setting="here") == 1


def test_made_up_experiments_have_the_scatter_of_the_data_and_no_effect():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(40)
    data = 5 + np.stack([shared, shared + 0.1 * rng.standard_normal(40)])
    means, errors = equivalence.resampled(data, seeds=25, tries=20000, rng=rng)
    assert means.shape == errors.shape == (20000, 2)
    assert abs(means.mean(axis=0)).max() < 0.01
    assert means.std(axis=0) == pytest.approx(data.std(axis=1, ddof=1) / 5, rel=0.03)
    assert (errors**2).mean(axis=0) == pytest.approx(data.var(axis=1, ddof=1) / 25, rel=0.03)
    assert np.corrcoef(means.T)[0, 1] > 0.9
    few = equivalence.resampled(data[:, :4], seeds=25, tries=20000, rng=rng)[0]
    assert few.std(axis=0) == pytest.approx(data[:, :4].std(axis=1, ddof=1) / 5, rel=0.03)


def test_intervals_from_means_and_errors_are_those_of_the_t_test():
    values = np.random.default_rng(3).standard_normal((4, 12))
    found = equivalence.intervals(values.mean(axis=1), stats.sem(values, axis=1), seeds=12, comparisons=7)
    expected = stats.ttest_1samp(values, 0, axis=1).confidence_interval(1 - 0.05 / 7)
    np.testing.assert_allclose(found, expected)


def test_the_rule_errs_as_rarely_as_it_says_and_finds_what_is_large():
    data = np.random.default_rng(1).standard_normal((len(PARTS), 60)) * 0.03
    means, errors = equivalence.resampled(data, seeds=60, tries=4000, rng=np.random.default_rng(2))
    low, high = equivalence.intervals(means, errors, seeds=60, comparisons=len(PARTS))
    smallest = np.array([SMALLEST[part.rpartition("-")[2]] for part in PARTS])
    wrong = np.isin(equivalence.outcome(low, high, smallest=smallest), [CONFIRMED, CONTRADICTED])
    assert wrong.any(axis=1).mean() < 0.06
    nothing, something, much = (
        equivalence.chances(means[:, 1], errors[:, 1], true, seeds=60, quantity="lift") for true in (0.0, 0.06, 0.3)
    )
    assert sum(nothing.values()) == pytest.approx(1)
    assert nothing[NEGLIGIBLE] > 0.99
    assert something[CONFIRMED] > 0.99
    assert much[CONFIRMED] == 1
    against = equivalence.chances(means[:, 1], errors[:, 1], -0.3, seeds=60, quantity="lift")
    assert against[CONTRADICTED] == 1
