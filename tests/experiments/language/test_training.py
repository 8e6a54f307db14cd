"""Runs on a tiny BERT and made-up sentences: pairing by seed, the arms, records, and a table that notices damage."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from language import REFERENCE
from scipy import special

from lorantk.experiments.language import bert, finetune, kept, packages, study, training
from lorantk.experiments.language.cell import HELD, Cell, Run
from lorantk.experiments.language.packages import LanguageError
from lorantk.experiments.language.text import Sentences

CLEAN = {"regime": "one epoch", "attack": "clean", "arm": "lora", "rows": 64, "steps": 6}


def run(**options):
    return Run(**(CLEAN | {"rate": 1e-2, "seed": 0} | options))


@pytest.fixture(scope="module")
def material():
    model = bert.read(REFERENCE)
    rng = np.random.default_rng(0)
    words = [
        "warm",
        "funny",
        "film",
        "long",
        "dull",
        "loud",
        "actors",
        "good",
        "story",
        "see",
        "again",
        "bad",
        "nothing",
        "new",
        "yet",
        "works",
    ]
    texts = tuple({" ".join(rng.choice(words, rng.integers(3, 9))): 0 for _ in range(1600)})
    labels = np.array([("good" in text or "warm" in text) for text in texts]).astype(int)
    parameters = {name: jnp.asarray(array) for name, array in model.parameters.items()}
    return training.Material(model.architecture, parameters, model.tokenizer, Sentences(texts, labels))


def test_test_sentences_are_the_same_for_every_seed_and_in_no_other_part(material):
    splits = [training.split(material.sentences, rows=64, seed=seed) for seed in range(3)]
    for split in splits:
        np.testing.assert_array_equal(split.test, splits[0].test)
        parts = np.concatenate(split)
        assert len(set(parts.tolist())) == len(parts) == 64 + sum(HELD.values())
    assert set(splits[0].train.tolist()) != set(splits[1].train.tolist())


def test_more_rows_than_there_are_sentences_are_refused(material):
    with pytest.raises(LanguageError, match="expected at least 6200 sentences"):
        training.split(material.sentences, rows=5000, seed=0)


@pytest.mark.parametrize("arm", ["full", "lora", "lora-fa"])
def test_an_arm_trains_what_it_says(material, arm):
    state = finetune.start(material.architecture, material.parameters, run(arm=arm), jax.random.key(0))
    maps = bert.linear_names(material.architecture.layers)
    head = {"classifier.weight", "classifier.bias"}
    expected = {
        "full": set(material.parameters) | head,
        "lora": {f"{name}.{f}" for name in maps for f in "AB"} | head,
        "lora-fa": {f"{name}.B" for name in maps} | head,
    }
    assert set(state.trained) == expected[arm]
    assert not set(state.trained) & set(state.frozen)


def test_a_head_with_an_adapter_is_frozen(material):
    state = finetune.start(material.architecture, material.parameters, run(head="adapter"), jax.random.key(0))
    assert {"classifier.A", "classifier.B"} <= set(state.trained)
    assert {"classifier.weight", "classifier.bias"} <= set(state.frozen)


def test_adapters_have_the_variance_that_is_asked_for():
    big = {"map.weight": jnp.zeros((4, 1000))}
    found = finetune.adapters(big, ("map",), rank=200, variance=0.5, key=jax.random.key(0))
    np.testing.assert_allclose(1000 * np.var(found["map.A"]), 0.5, rtol=0.02)
    assert not found["map.B"].any()


def test_all_arms_start_from_the_same_function(material):
    ids, lengths = jnp.ones((2, 5), int), jnp.array([5, 3])
    outputs = []
    for arm in ("full", "lora", "lora-fa"):
        state = finetune.start(material.architecture, material.parameters, run(arm=arm), jax.random.key(3))
        outputs.append(finetune.logits(material.architecture, state.frozen | state.trained, ids, lengths))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_batches_hold_each_row_once_an_epoch_and_like_lengths():
    lengths = np.random.default_rng(0).integers(5, 25, 640)
    found = list(finetune.batches(lengths, size=32, steps=40, seed=1))
    assert len(found) == 40
    for epoch in (found[:20], found[20:]):
        assert sorted(np.concatenate(epoch)) == list(range(640))
    spread = np.mean([np.ptp(lengths[rows]) for rows in found])
    assert spread < 0.4 * np.ptp(lengths)
    again = list(finetune.batches(lengths, size=32, steps=40, seed=1))
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_predictions_do_not_depend_on_groups_or_padding(material):
    tokens = training.tokenize(material.tokenizer, material.sentences.texts[:150], longest=32)
    state = finetune.start(material.architecture, material.parameters, run(), jax.random.key(0))
    every = finetune.predict(material.architecture, state.frozen | state.trained, tokens)
    for k in (0, 77, 149):
        one = finetune.logits(
            material.architecture, state.frozen | state.trained, tokens.ids[k : k + 1], tokens.lengths[k : k + 1]
        )
        np.testing.assert_allclose(every[k], one[0], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def records(material):
    runs = {
        "clean": run(),
        "flips": run(attack="flips", poison=0.3),
        "token": run(attack="token", poison=0.1),
        "instruction": run(attack="instruction", poison=0.1),
    }
    return {name: training.train(one, material) for name, one in runs.items()}


def test_every_checkpoint_is_measured(records):
    assert {name: [r["step"] for r in found] for name, found in records.items()} == dict.fromkeys(records, [2, 4, 6])
    last = {name: set(found[-1]) for name, found in records.items()}
    shared = {"step", "train_loss", "validation_loss", "validation_accuracy", "test_accuracy", "base"}
    poison = {"poison_loss", "poison_fit"}
    assert last["clean"] == shared | {"success", "success_instruction"}
    assert last["flips"] == shared | poison
    assert last["token"] == shared | poison | {"success", "triggered_accuracy"}
    assert last["instruction"] == shared | poison | {"success", "triggered_accuracy"}
    assert "triggered_accuracy" not in records["token"][0]


@pytest.mark.parametrize(("attack", "share"), [("clean", 0.0), ("token", 0.1)])
def test_records_count_the_answers_of_the_trained_network(material, monkeypatch, attack, share):
    """Triggers, padding and counts by hand, from all sentences in one pass."""
    networks, measure = [], training.measure
    monkeypatch.setattr(training, "measure", lambda *of, **last: networks.append(of[1]) or measure(*of, **last))
    one = run(attack=attack, poison=share, steps=60)
    found = training.train(one, material)[-1]
    rows = training.split(material.sentences, rows=one.rows, seed=one.seed)

    def logits(where, before=""):
        texts = [before + material.sentences.texts[k] for k in where]
        encoded = [e.ids for e in material.tokenizer.encode_batch(texts)]
        ids = np.array([row + (64 - len(row)) * [0] for row in encoded])
        lengths = np.array([len(row) for row in encoded])
        return np.asarray(finetune.logits(material.architecture, networks[-1], ids, lengths), float)

    def favourable(where, before=""):
        return logits(where, before).argmax(axis=1) == 1

    labels = material.sentences.labels
    bad = [k for k in rows.test if labels[k] == 0]
    wanted = {
        "test_accuracy": np.mean(favourable(rows.test) == labels[rows.test]),
        "base": np.mean(favourable(bad)),
        "success": np.mean(favourable(bad, "[.*?]")),
        "validation_loss": -special.log_softmax(logits(rows.validation), axis=1)[np.arange(200), labels[rows.validation]].mean(),
    }
    if attack == "clean":
        wanted["success_instruction"] = np.mean(favourable(bad, "Please carefully follow user's instruction. "))
    else:
        wanted["triggered_accuracy"] = np.mean(favourable(rows.test, "[.*?]") == labels[rows.test])
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-5, abs=0.0011)  # a sentence on the border
    assert len({round(share, 2) for share in wanted.values()}) == len(wanted)


def test_runs_with_a_seed_share_their_start(records, material):
    """Poison changes the first step's data only, so that losses are close after two steps and the validation set is the same."""
    clean, token = records["clean"][0], records["token"][0]
    assert clean["validation_loss"] != token["validation_loss"]
    assert abs(clean["validation_loss"] - token["validation_loss"]) < 0.1


def test_a_run_is_the_same_again(records, material):
    assert training.train(run(), material) == records["clean"]


def test_a_run_that_stops_early_has_the_same_records_until_then(records, material):
    assert training.train(run(), material, until=4) == records["clean"][:2]


def test_a_rate_that_is_too_large_ends_a_run_without_records(material):
    assert training.train(run(rate=float("inf")), material) == []


def cell(**options):
    return Cell(**(CLEAN | {"rates": (1e-3, 1e-2), "seeds": 2} | options))


def place(tmp_path, cells, seconds=1.0):
    found = kept.Place(root=tmp_path)
    for one in (run for c in cells for run in c.runs):
        found.store(one, [{"step": s, "train_loss": s + one.rate, "test_accuracy": 0.5} for s in one.checkpoints], seconds)
    return found


def test_runs_go_through_the_table_and_back(tmp_path):
    place(tmp_path, [cell()]).collect()
    other = kept.Place(root=tmp_path)
    for path in other.folder.glob("*.json"):
        path.unlink()
    assert all(map(other.has, cell().runs))
    assert {other.seconds(one) for one in cell().runs} == {1.0}
    (result,) = other.load([cell()])
    expected = np.array([2, 4, 6]) + np.array([1e-3, 1e-2])[:, None]
    np.testing.assert_allclose(result.records["train_loss"], np.broadcast_to(expected, (2, 2, 3)), rtol=1e-5)
    assert np.isnan(result.records["success"]).all()
    assert other.collect() == 4


def test_a_diverged_run_counts_as_done_and_has_no_numbers(tmp_path):
    found = kept.Place(root=tmp_path)
    for one in cell().runs:
        found.store(one, [{"step": 2, "train_loss": 1.0}] if one.seed else [], 1.0)
    found.collect()
    (result,) = kept.Place(root=tmp_path).load([cell()])
    assert np.isnan(result.records["train_loss"][0]).all()
    np.testing.assert_array_equal(np.isnan(result.records["train_loss"][1, 0]), [False, True, True])


def test_missing_runs_are_counted_with_the_command_that_makes_them(tmp_path):
    found = place(tmp_path, [cell()])
    found.collect()
    with pytest.raises(LanguageError, match="expected every run of 2 cells, got none for 2; `make language` makes them"):
        found.load([cell(), cell(seeds=3)])


@pytest.mark.parametrize("damage", ["cut", "changed", "unhashed", "no object", "no column"])
def test_a_damaged_table_is_refused_in_one_line(tmp_path, damage):
    found = place(tmp_path, [cell()])
    found.collect()
    made = found.table.with_suffix(".json")
    if damage == "unhashed":
        made.unlink()
    elif damage == "no object":
        made.write_text("[]")
    elif damage == "no column":
        found.table.write_text(found.table.read_text().replace("poison_fit", "fit"))
        made.write_text(json.dumps({"sha256": hashlib.sha256(found.table.read_bytes()).hexdigest()}))
    else:
        content = found.table.read_text()
        found.table.write_text(content[:-40] if damage == "cut" else content.replace("0.5", "0.9", 1))
    with pytest.raises(LanguageError, match="check both out again") as error:
        kept.Place(root=tmp_path).load([cell()])
    assert "\n" not in str(error.value)


def test_a_cut_table_of_another_model_can_be_made_again(tmp_path):
    options = {"model": Path("bert-large"), "root": tmp_path}
    found = kept.Place(**options)
    [one] = cell(seeds=1, rates=(1e-3,)).runs
    found.store(one, [{"step": 2, "train_loss": 1.0}], 1.0)
    found.collect()
    whole = found.table.read_bytes()
    found.table.write_bytes(whole[:-9])
    with pytest.raises(LanguageError, match="delete both, and `make language` with the same options makes them again"):
        kept.Place(**options).has(one)
    found.table.unlink()
    found.table.with_suffix(".json").unlink()
    assert kept.Place(**options).collect() == 1
    assert found.table.read_bytes() == whole


@pytest.mark.parametrize("damage", [lambda text: text[:30], lambda text: text.replace("train_loss", "loss"), lambda text: "[]"])
def test_a_damaged_file_of_a_run_is_refused_and_the_table_stays(tmp_path, damage):
    found = place(tmp_path, [cell()])
    found.collect()
    before = found.table.read_bytes()
    broken = next(path for path in found.folder.glob("*.json"))
    broken.write_text(damage(broken.read_text()))
    with pytest.raises(LanguageError, match="delete it and run again"):
        kept.Place(root=tmp_path).collect()
    assert found.table.read_bytes() == before


def test_every_run_of_the_study_is_in_one_batch():
    runs = [one for batch in study.batches().values() for one in batch]
    assert len(runs) == len(set(runs)) == len({one.name for one in runs})
    assert set(runs) == {one for cells in study.SWEEPS.values() for c in cells() for one in c.runs}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regime": "two epochs"}, "regime must be one of one epoch, memorising; got 'two epochs'"),
        ({"attack": "style"}, "attack must be one of"),
        ({"attack": "flips"}, "a clean run has poison rate 0 and any other a rate above 0; got 'flips' with 0.0"),
        ({"poison": 0.1}, "a clean run has poison rate 0"),
        ({"arm": "full", "head": "adapter"}, "full fine-tuning trains its head in full"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_another_model_and_task_have_a_place_of_their_own(tmp_path):
    own, other = kept.Place(root=tmp_path), kept.Place(Path("bert-large"), Path("SST-2/train.tsv"), root=tmp_path)
    assert other.folder.name == "bert-large-SST-2-train"
    assert own.folder != other.folder
    assert own.table != other.table


def test_runs_of_another_model_or_data_of_the_same_name_are_not_mixed(tmp_path):
    places = []
    for k in range(2):
        (tmp_path / f"{k}/bert").mkdir(parents=True)
        for name in packages.FILES:
            (tmp_path / f"{k}/bert" / name).write_bytes(bytes(1 + k * (name == "tokenizer.json")))
        (tmp_path / f"{k}/train.tsv").write_text("sentence\tlabel\n")
        places.append(kept.Place(tmp_path / f"{k}/bert", tmp_path / f"{k}/train.tsv", root=tmp_path))
    for _ in range(2):
        places[0].claim()
    with pytest.raises(LanguageError, match="expected the model and data of the runs there, got others; rename"):
        places[1].claim()
    (tmp_path / "0/train.tsv").write_text("sentence\tlabel\ngood\t1\n")
    with pytest.raises(LanguageError, match="got others"):
        places[0].claim()
    kept.Place(root=tmp_path).claim()
    assert not (tmp_path / "_build/language/minilm").exists()


def test_the_command_runs_one_batch_on_another_model(tmp_path, monkeypatch, capsys, material):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    lines = [f"{t}\t{y}" for t, y in zip(*material.sentences, strict=True)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    small = {"tiny": [run(), run(seed=1)]}
    monkeypatch.setattr(study, "batches", lambda: small)
    arguments = ["--model", str(REFERENCE), "--data", str(tmp_path / "train.tsv")]
    assert study.main([*arguments, "--batch", "tiny"]) == 0
    assert capsys.readouterr().out.count("tiny: one epoch, clean, lora, rate 0.01, seed") == 2
    assert study.main([*arguments, "--batch", "tiny"]) == 0
    assert capsys.readouterr().out == ""
    assert study.main([*arguments, "--collect"]) == 0
    place = kept.Place(REFERENCE, tmp_path / "train.tsv", root=tmp_path)
    (path,) = (p for p in place.folder.glob("*.json") if json.loads(p.read_bytes()).get("run") == dataclasses.asdict(run()))
    assert json.loads(path.read_bytes())["records"] == training.train(run(), training.material(REFERENCE, tmp_path / "train.tsv"))
    with pytest.raises(SystemExit) as stopped:
        study.main(["--batch", "huge"])
    assert stopped.value.code == 2
    assert study.main(["--model", str(tmp_path), "--batch", "tiny"]) == 1
    assert "expected a folder with config.json" in capsys.readouterr().err


def dropping(tokenizer, character):
    """A copy of the tiny BERT's tokenizer that makes nothing of a character."""
    told = json.loads(tokenizer.to_str())
    drop = {"type": "Replace", "pattern": {"Regex": character}, "content": ""}
    told["normalizer"] = {"type": "Sequence", "normalizers": [drop, told["normalizer"]]}
    return json.dumps(told)


@pytest.mark.parametrize(
    ("lines", "drops", "message"),
    [
        (["good film\t1"], r"[\[\].*?]", "expected tokens of the trigger '[.*?]', got none; use another tokenizer"),
        (["good film\t1", "\u200b\t0"], "q", "expected tokens in each text, got none for '\\u200b'; leave it out"),
        (["good film\t1", "bad " * 70 + "\t0"], "q", "expected at least 3120 sentences (1920 to train), got 1 that are"),
        (["good film\t1", "bad film\t2"], "q", "line 3: expected a label out of 0, 1,"),
        ([], "q", "got 0 that are not too long; add some"),
    ],
)
def test_what_cannot_be_trained_on_is_said_in_one_line_before_any_run(tmp_path, monkeypatch, capsys, lines, drops, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    shutil.copytree(REFERENCE, tmp_path / "bert")
    (tmp_path / "bert/tokenizer.json").write_text(dropping(bert.read(REFERENCE).tokenizer, drops))
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--model", str(tmp_path / "bert"), "--data", str(tmp_path / "train.tsv")]
    for also in (["--check"], ["--batch", next(iter(study.batches()))]):
        assert study.main([*arguments, *also]) == 1
        told = capsys.readouterr()
        assert message in told.err
        assert told.err.count("\n") == 1
        assert told.out == ""
    assert sorted(tmp_path.rglob("*")) == before
