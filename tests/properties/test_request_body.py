"""The body parser: any bytes give the members or a documented problem, and never a second reading."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.body import MAX_DEPTH, members, parse
from api.imports import MAX_IMPORT_BODY
from api.problems import Problem

CODES = {"invalid_json", "duplicate_field", "unknown_field", "missing_field", "wrong_type"}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
halves = st.text(st.characters(categories=["Cs", "Ll"]), max_size=3)  # of surrogate pairs
json_like = st.lists(
    st.sampled_from([*'{}[]":,\\ ', "hostname", '"hostname"', "null", "1", "-", "e", "\\u", "d800", "\x00", "é"])
).map(lambda parts: "".join(parts).encode())


def outcome(raw: bytes) -> Any:
    try:
        return dict(parse(raw, ("hostname",)))
    except Problem as problem:
        assert problem.code in CODES
        problem.response()
        return problem.code


@given(st.binary() | json_like)
def test_any_bytes_are_members_or_a_problem(raw: bytes) -> None:
    found = outcome(raw)
    if isinstance(found, dict):
        assert found == json.loads(raw)
        assert list(found) == ["hostname"]


@given(values, st.booleans())
def test_any_json_is_members_or_a_problem(value: Any, escaped: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    found = outcome(raw)
    if isinstance(value, dict) and list(value) == ["hostname"] and isinstance(value["hostname"], str):
        assert found in ({"hostname": value["hostname"]}, "invalid_json")
    else:
        assert isinstance(found, str)


@given(st.lists(values | st.lists(halves), max_size=6), st.booleans())
def test_the_elements_of_a_list_come_through_as_they_are_unless_no_reader_could_agree_on_them(
    elements: list[Any], escaped: bool
) -> None:
    raw = json.dumps({"hostnames": elements}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        found = members(raw, {"hostnames": list})["hostnames"]
    except Problem as problem:
        assert problem.code in ("invalid_json", "duplicate_field")
    else:
        assert found == json.loads(raw, parse_int=float)["hostnames"]
        json.dumps(found).encode()
        json.dumps(found, ensure_ascii=False).encode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_through_as_it_is(text: str) -> None:
    for escaped in (True, False):
        raw = json.dumps({"hostname": text}, ensure_ascii=escaped).encode()
        assert outcome(raw) == {"hostname": text}


@given(st.integers(MAX_DEPTH + 1, 5000), st.sampled_from(["[", '{"a":', "[{}, "]))
def test_deep_nesting_is_refused_without_recursion(depth: int, opening: str) -> None:
    assert outcome((opening * depth).encode()) == "invalid_json"


@given(st.integers(0, 5000))
def test_brackets_in_strings_are_not_nesting(count: int) -> None:
    text = '[{"\\' * count
    assert outcome(json.dumps({"hostname": text}).encode()) == {"hostname": text}


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"[]", b"\\", b'"\\', b'{"a":1},', b" ", b"9"])
def test_the_largest_body_takes_little_time_whatever_is_in_it(piece: bytes) -> None:
    """A second is twenty times what it takes; a quadratic scan would take hours."""
    for prefix in (b"", b'"', b'{"hostname": "', b'{"hostname": '):
        raw = (prefix + piece * MAX_IMPORT_BODY)[:MAX_IMPORT_BODY]
        started = time.thread_time()  # whoever else is on the machine does not count
        outcome(raw)
        assert time.thread_time() - started < 1
