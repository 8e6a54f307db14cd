"""What the audit predicts, against the modules that the real PEFT adapted (scripts/peft_selections.py).

In every case the two agree, or PEFT refuses and the audit names what PEFT refuses, or the audit says of a module that it does
not know. Nothing else may happen: no module is silently missing, added, or given another kind, shape, rank or scale.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from auditing.headers import model as write_model

from lorantk.auditing.configuration import parse_configuration, settings
from lorantk.auditing.errors import AuditError
from lorantk.auditing.models import read_model
from lorantk.auditing.selection import select

DATA = json.loads((Path(__file__).parents[2] / "expected/selections.json").read_text())["models"]
KINDS = {"Embedding": "embedding", "Conv1d": "convolution", "Conv2d": "convolution", "ParamWrapper": "expert"}
FAMILIES = {"llama", "gpt2", "bert", "t5", "vit", "mixtral", "qwen3_moe", "gpt_oss", "resnet", "llava", "clip", "mamba", "torch"}


def adapted(family, found):
    """Return what PEFT adapted, with one entry for each expert: kind, n, m, r and s by name."""
    names, every = list(family["adapted"]), {}
    for number, rank, scale in found:
        kind, experts, n, m = family["adapted"][names[number]]
        one = (KINDS.get(kind.partition(",")[0], "linear"), n, m, rank, scale)
        if experts == 1:
            every[names[number]] = ("linear" if one[0] == "expert" else one[0], *one[1:])
        else:
            every |= {f"{names[number]}[{expert}]": one for expert in range(experts)}
    return every


def predicted(settings_of, model):
    """Return what the audit predicts, in the same form, and the names that it refuses or puts a condition on."""
    try:
        selection = select(parse_configuration({"peft_type": "LORA"} | settings_of, "configuration"), model)
    except AuditError as error:
        return {}, {"": str(error)}
    found = {}
    for shape, key, *_ in selection.targets:
        given = settings(selection.configuration, key)
        kind = "linear" if shape.kind == "expert" and shape.name == key else shape.kind
        found[shape.name] = (kind, shape.features_in, shape.features_out, given.rank, round(given.scale, 9))
    return found, selection.refused | {target.shape.name: target.caveat for target in selection.targets if target.caveat}


def said(name, refused):
    """Say whether a module, or the parameter of which it is an expert, or the whole configuration is refused."""
    return "" in refused or name in refused or name.partition("[")[0] in refused


def outcome(family, case, model):
    """Return ``"agrees"``, ``"both refuse"``, ``"refuses"`` or ``"differs"`` for one case, and the names that differ."""
    settings_of, found = case
    got, refused = predicted(settings_of, model)
    if isinstance(found, str):  # PEFT's error
        return ("both refuse" if refused or not got else "differs"), [found]
    want = adapted(family, found)
    names = sorted(name for name in want.keys() | got.keys() if want.get(name) != got.get(name))
    if not names and not refused:
        return "agrees", names
    return ("refuses" if refused and all(said(name, refused) for name in names) else "differs"), names


def test_the_families_are_many_and_their_cases_varied():
    assert DATA.keys() >= FAMILIES
    cases = [case for family in DATA.values() for case in family["cases"]]
    assert len(cases) >= 700
    assert 0.15 < sum(isinstance(found, str) for _, found in cases) / len(cases) < 0.4
    used = Counter(key for given, _ in cases for key in given)
    for key in ("exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"):
        assert used[key] >= 40, key
    for key in ("target_parameters", "layer_replication", "ensure_weight_tying", "fan_in_fan_out", "lora_bias", "use_dora"):
        assert used[key] >= 15, key
    kinds = {kind for family in DATA.values() for kind, *_ in family["adapted"].values()}
    assert kinds == {"Linear", "Embedding", "Conv1d", "Conv2d", "Conv2d, grouped", "MultiheadAttention", "ParamWrapper"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """For each model, how its cases came out, and the cases that differ."""
    found = {}
    for name, family in DATA.items():
        model = read_model(write_model(tmp_path_factory.mktemp("model"), family["tensors"], family["config"]))
        words = [(case, *outcome(family, case, model)) for case in family["cases"]]
        found[name] = (
            Counter(word for _, word, _ in words),
            [(case[0], names) for case, word, names in words if word == "differs"],
        )
    return found


@pytest.mark.parametrize("name", DATA)
def test_no_difference_from_peft_is_silent(name, outcomes):
    counts, different = outcomes[name]
    assert different == []
    limit = 0.4 if DATA[name]["config"] is None else 0.1  # without a known class more stays open
    assert counts["refuses"] <= limit * counts.total()


def test_few_cases_stay_open(outcomes):
    total = sum((counts for counts, _ in outcomes.values()), Counter())
    print(", ".join(f"{word} in {count / total.total():.1%}" for word, count in total.items()), "of", total.total(), "cases")
    assert total["refuses"] <= 0.03 * total.total()
    assert total["agrees"] >= 0.6 * total.total()


def test_a_difference_would_be_noticed(tmp_path):
    family = DATA["llama"]
    model = read_model(write_model(tmp_path, family["tensors"], family["config"]))
    case = next(case for case in family["cases"] if not isinstance(case[1], str) and len(case[1]) > 1)
    assert outcome(family, case, model)[0] == "agrees"
    assert outcome(family, (case[0], case[1][1:]), model)[0] == "differs"
    number, rank, scale = case[1][0]
    for changed in ([number, rank + 1, scale], [number, rank, 2 * scale]):
        assert outcome(family, (case[0], [changed, *case[1][1:]]), model)[0] == "differs"
    assert outcome(family, (case[0], "ValueError: no"), model)[0] == "differs"
    wider = {key: [kind, experts, n + 1, m] for key, (kind, experts, n, m) in family["adapted"].items()}
    assert outcome(family | {"adapted": wider}, case, model)[0] == "differs"


@pytest.mark.parametrize("name", DATA)
def test_without_the_class_no_module_gets_a_wrong_shape(name, tmp_path):
    family = DATA[name]
    model = read_model(write_model(tmp_path, family["tensors"]))
    assert any("from the model's file alone" in note for note in model.notes)
    for case in family["cases"]:
        if isinstance(case[1], str):
            continue
        want = adapted(family, case[1])
        got, refused = predicted(case[0], model)
        wrong = [key for key in want.keys() & got.keys() if want[key] != got[key] and not said(key, refused)]
        assert not wrong, case[0]
