"""Expressions of a configuration: matched as `re` does, in bounded time."""

import re
import time

import psutil
import pytest
from auditing.written import adapter
from hypothesis import given, settings
from hypothesis import strategies as st

from lorantk import audit_adapter
from lorantk.auditing.errors import AuditError
from lorantk.auditing.patterns import LENGTH_LIMIT, Clock, Pattern, Table

PIECES = st.lists(
    st.sampled_from(["a", "b", ".", r"\.", "x+", "a*", "(a|b)", "(?:b)?", r"\d", "[ab]{1,2}", "^", "$", "|"]), max_size=6
)
NAMES = st.text(alphabet="abx.1", max_size=12)


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, name=NAMES)
def test_matches_are_those_of_re(pieces, name):
    expression = "".join(pieces)
    try:
        expected = re.match(expression, name), re.fullmatch(expression, name)
    except re.error:
        with pytest.raises(AuditError, match="expected a regular expression"):
            Pattern(expression, "x", Clock()).match(name)
        return
    pattern = Pattern(expression, "x", Clock(30))
    found = pattern.match(name), pattern.fullmatch(name)
    assert [one and one.groups() for one in expected] == [one if one is None else tuple(one) for one in found]


@pytest.mark.parametrize("expression", ["(a+)+$", "(?:a|aa)+$", "(.*a){25}$", "a?" * 40 + "a" * 40, "(a{1,99}){1,99}$"])
def test_an_expression_that_blows_up_is_one_line_in_bounded_time(expression, tmp_path, monkeypatch):
    monkeypatch.setattr("lorantk.auditing.patterns.SECONDS", 0.5)
    folder = adapter(tmp_path, ["a" * 39 + "b"], {"rank_pattern": {expression: 8}})
    begin = time.monotonic()
    with pytest.raises(
        AuditError, match=r"adapter_config\.json: rank_pattern: expected regular expressions that are matched quickly"
    ):
        audit_adapter(folder)
    assert time.monotonic() - begin < 10


def test_an_expression_that_takes_too_much_memory_ends(tmp_path):
    with pytest.raises(AuditError, match="matched quickly"):
        Pattern("(" * 90 + "a+" + ")+" * 90 + "c", "x", Clock(5)).match("a" * 900)


def test_no_process_goes_on_when_the_time_is_up():
    clock = Clock(0.3)
    with pytest.raises(AuditError, match="matched quickly"):
        Pattern("(a|aa)+$", "x", clock).match("a" * 60 + "b")
    assert not [child for child in psutil.Process().children() if "import json, re" in " ".join(child.cmdline())]
    assert clock.left <= 0  # the clock is still referred to


def test_time_is_shared_by_the_expressions_of_a_configuration():
    clock = Clock(0.2)
    with pytest.raises(AuditError, match="matched quickly"):
        _ = [Pattern(f"(a|aa|{i})+$", "x", clock).match("a" * 24 + "b") for i in range(50)]


def test_a_long_expression_is_refused():
    with pytest.raises(AuditError, match=f"expected at most {LENGTH_LIMIT} characters"):
        Pattern("a" * (LENGTH_LIMIT + 1), "x", Clock())


LITERALS = st.lists(st.text(alphabet="ab.-", min_size=1, max_size=5) | st.sampled_from(["a+", "a|b", "^a", "a$"]), max_size=8)


@settings(max_examples=200, deadline=None)
@given(literals=LITERALS, name=st.text(alphabet="ab.-", max_size=8))
def test_a_table_finds_what_each_pattern_finds_alone(literals, name):
    patterns = tuple((Pattern(rf"(.*\.)?({literal})$", "x", Clock(30)), literal, 1) for literal in literals)
    alone = [place for place, (pattern, *_) in enumerate(patterns) if re.match(pattern.expression, name)]
    assert Table(patterns).hits(name) == alone


def test_a_pattern_for_each_of_many_modules_is_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr("lorantk.auditing.patterns.SECONDS", 0.5)
    names = [f"layers.{i}.q" for i in range(400)]
    folder = adapter(
        tmp_path,
        names,
        {
            "alpha_pattern": {"^layers.3.q": 2}
            | dict.fromkeys([f"x.layers.{i}.q" for i in range(9000)], 5)
            | dict.fromkeys(names, 8)
        },
    )
    modules = {module.name: module.scale for module in audit_adapter(folder).modules}
    assert modules.pop("layers.3.q") == 0.5
    assert set(modules.values()) == {2}


def test_compiling_very_many_expressions_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("lorantk.auditing.patterns.SECONDS", 0.2)
    folder = adapter(tmp_path, ["q"], {"rank_pattern": {f"a{i}|b*": 4 for i in range(20_000)}})
    with pytest.raises(AuditError, match="matched quickly"):
        audit_adapter(folder)
