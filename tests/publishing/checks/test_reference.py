"""Data of figures agree with their reference within a stated tolerance, or figure, column and size of the error are named."""

import json

import pytest

from lorantk.publishing.checks.reference import Tolerances, check, main, published, read_table, renew
from lorantk.publishing.errors import RecordError
from lorantk.publishing.notebook.figures import csv_bytes

TABLE = {"x": [1, 2], "error": [1e-17, 0.1 + 0.2], "word": ["a", "nan"], "far": [float("inf"), float("nan")]}
TOLERANCES = """[default]
relative = 1e-6
absolute = 1e-12
reason = "rounding"
[figures.trained]
relative = 0.1
reason = "training amplifies rounding"
[figures.trained.columns.error]
absolute = 0.5
reason = "a count of three"
"""


def write_build(build, **tables):
    """Write a build folder with the data of some figures."""
    (build / "figures").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        (build / "figures" / f"{name}.csv").write_bytes(csv_bytes(table))
    (build / "figures/index.json").write_text(json.dumps([{"id": name} for name in tables]))


@pytest.fixture
def places(tmp_path):
    """A build with two figures and a reference made from it."""
    build, folder = tmp_path / "build", tmp_path / "expected"
    write_build(build, plain=TABLE, trained=TABLE)
    folder.mkdir()
    (folder / "tolerances.toml").write_text(TOLERANCES)
    renew(build, folder)
    return build, folder


def changed(**columns):
    """Return the table with other columns."""
    return TABLE | columns


def faults(places, **tables):
    """Return what is wrong with a build that has other data."""
    write_build(places[0], **({"plain": TABLE, "trained": TABLE} | tables))
    return check(published(places[0]), places[1])[1]


def test_the_reference_keeps_nine_digits_words_and_whole_numbers(places):
    assert read_table(places[1] / "figures/plain.csv") == {
        "x": ["1", "2"],
        "error": ["1e-17", "0.3"],
        "word": ["a", "nan"],
        "far": ["inf", "nan"],
    }


def test_the_build_that_made_it_agrees(places, capsys):
    found, wrong = check(published(places[0]), places[1])
    assert wrong == []
    assert found["plain"].numbers == 8
    assert 0 < found["plain"].share < 1e-3  # the ninth digit
    assert main(["check", "--build", str(places[0]), "--reference", str(places[1])]) == 0
    assert "2 figures with 16 entries" in capsys.readouterr().out


def test_rounding_is_within_tolerance(places):
    assert faults(places, plain=changed(error=[-3e-16, 0.3 + 2e-7])) == []


def test_a_number_beyond_tolerance_is_named_with_figure_column_and_size(places, capsys):
    wrong = faults(places, plain=changed(error=[1e-17, 0.3 + 1e-5]))
    size = "33.3 times the tolerance (relative 1e-06, absolute 1e-12)"
    assert wrong == [f"plain, column 'error', row 2: 0.30001, reference 0.3: {size}"]
    assert main(["check", "--build", str(places[0]), "--reference", str(places[1])]) == 1
    assert f"DIFFERS {wrong[0]}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [1, 3]},
        {"word": ["a", "b"]},
        {"far": [float("inf"), 1.0]},
        {"far": [-float("inf"), float("nan")]},
        {"error": [float("nan"), 0.3]},
    ],
)
def test_words_whole_numbers_and_nan_must_be_the_same(places, columns):
    [fault] = faults(places, plain=changed(**columns))
    assert fault.startswith(f"plain, column {next(iter(columns))!r}, row ")


def test_each_figure_and_column_has_its_own_tolerance(places):
    assert faults(places, trained=changed(x=[1, 2.1])) == []
    assert len(faults(places, trained=changed(x=[1, 2.3]))) == 1
    assert faults(places, trained=changed(error=[0.4, 0.7])) == []
    assert len(faults(places, trained=changed(error=[0.6, 0.7]))) == 1


def test_words_are_free_only_where_the_tolerance_is_infinite(places):
    path = places[1] / "tolerances.toml"
    path.write_text(f'{path.read_text()}[figures.plain.columns.word]\nabsolute = inf\nreason = "names the best of several"\n')
    other = changed(word=["b", "c"])
    assert faults(places, plain=other) == []
    assert len(faults(places, plain=other, trained=other)) == 1


def test_missing_and_new_figures_and_columns_are_named(places):
    write_build(places[0], plain=TABLE, new=TABLE)
    wrong = ["trained: a reference, and no such figure", "new: a figure without reference"]
    assert check(published(places[0]), places[1])[1] == wrong
    assert check(published(places[0]), places[1], whole=False)[1] == wrong[1:]
    [fault] = faults(places, plain={"x": [1, 2]})
    assert fault.startswith("plain: expected columns and lengths {'x': 2, 'error': 2, 'word': 2, 'far': 2}, got {'x': 2}")
    [fault] = faults(places, plain={key: column[:1] for key, column in TABLE.items()})
    assert "got {'x': 1," in fault


def test_tolerances_for_nothing_are_named(places):
    text = TOLERANCES.replace("figures.trained]", "figures.gone]")
    (places[1] / "tolerances.toml").write_text(text.replace("figures.trained.columns.error", "figures.plain.columns.y"))
    assert check(published(places[0]), places[1])[1] == [
        "gone: a tolerance, and no such figure",
        "plain: a tolerance for column 'y', and no such column",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('reason = "rounding"', 'reason = " "'),
        ('reason = "a count of three"', ""),
        ("absolute = 0.5", "absolute = -1"),
        ("absolute = 0.5", "rtol = 0.5"),
        ("relative = 0.1", ""),
    ],
)
def test_a_tolerance_needs_a_number_and_a_reason(places, capsys, old, new):
    path = places[1] / "tolerances.toml"
    path.write_text(TOLERANCES.replace(old, new))
    with pytest.raises(RecordError, match="expected relative or absolute, and a reason, for "):
        Tolerances(path)
    assert main(["check", "--build", str(places[0]), "--reference", str(places[1])]) == 1
    assert capsys.readouterr().err.startswith("lorantk.publishing.checks.reference: expected ")


def test_renewing_says_what_changed(places, capsys):
    write_build(places[0], plain=changed(x=[1, 3]), new=TABLE)
    assert main(["renew", "--build", str(places[0]), "--reference", str(places[1])]) == 0
    assert capsys.readouterr().out == "new: new\nchanged: plain\nremoved: trained\n"
    assert [path.name for path in sorted((places[1] / "figures").iterdir())] == ["new.csv", "plain.csv"]
    assert check(published(places[0]), places[1])[1] == ["trained: a tolerance, and no such figure"]


def test_renewing_keeps_a_reference_that_agrees(places, capsys):
    old = {path.name: path.read_bytes() for path in (places[1] / "figures").iterdir()}
    nearly = [x * (1 + 1e-8) for x in TABLE["x"]]
    write_build(places[0], plain=changed(x=nearly), trained=TABLE)
    assert main(["renew", "--build", str(places[0]), "--reference", str(places[1])]) == 0
    assert capsys.readouterr().out == "new: none\nchanged: none\nremoved: none\n"
    assert {path.name: path.read_bytes() for path in (places[1] / "figures").iterdir()} == old


def test_without_a_build_the_error_is_one_line(tmp_path, capsys):
    (tmp_path / "tolerances.toml").write_text(TOLERANCES)
    assert main(["check", "--build", str(tmp_path), "--reference", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
