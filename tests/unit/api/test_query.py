from __future__ import annotations

import pytest

from api.problems import Problem
from api.query import parse_choice, parse_count, parse_query


def test_parameters_are_decoded() -> None:
    assert parse_query(b"a=x%20y&b=", ("a", "b")) == {"a": "x y", "b": ""}
    assert parse_query(b"") == {}


@pytest.mark.parametrize(
    ("raw", "code", "parameter"),
    [
        (b"c=1", "unknown_parameter", "c"),
        (b"c", "unknown_parameter", "c"),
        (b"a=1&a=1", "invalid_parameter", "a"),
        (b"%61=1&a=1", "invalid_parameter", "a"),
        (b"\xff=1", "unknown_parameter", "ÿ"),
        (b"%ff%00=1", "unknown_parameter", "�\x00"),
    ],
)
def test_what_is_not_expected_is_named(raw: bytes, code: str, parameter: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_query(raw, ("a",))
    assert (refused.value.code, refused.value.members["parameter"]) == (code, parameter)
    refused.value.response()


def test_a_choice_is_one_of_the_choices_or_absent() -> None:
    assert parse_choice({}, "status", ("x",)) is None
    assert parse_choice({"status": "x"}, "status", ("x",)) == "x"
    with pytest.raises(Problem):
        parse_choice({"status": "X"}, "status", ("x",))


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("100", 100), ("007", 7)])
def test_a_count_is_a_number_within_its_bounds(text: str, value: int) -> None:
    assert parse_count({"limit": text}, "limit", 20, 100) == value
    assert parse_count({}, "limit", 20, 100) == 20


@pytest.mark.parametrize("text", ["0", "101", "-1", "+1", "1.0", "", " 1", "1_0", "１", "0001", "9" * 5000])
def test_another_count_is_refused(text: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_count({"limit": text}, "limit", 20, 100)
    assert refused.value.code == "invalid_parameter"
