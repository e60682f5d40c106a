from __future__ import annotations

import pytest

from api.body import MAX_DEPTH, check_content_type, parse, pointer, shown
from api.problems import Problem


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
        " application/json ; charset=utf8 ",
        "application/json;",
    ],
)
def test_json_in_utf_8_is_taken_however_it_is_written(content_type: str) -> None:
    check_content_type(content_type, None)
    check_content_type(content_type, "Identity")


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        (None, None),
        ("", None),
        ("application/jsonx", None),
        ("application/problem+json", None),
        ("application/json, text/plain", None),
        ("application/json; charset=utf-16", None),
        ('application/json; charset="utf-8', None),
        ("application/json; version=1", None),
        ("application/json", "gzip"),
        ("application/json", "identity, gzip"),
    ],
)
def test_another_type_or_coding_is_refused(content_type: str | None, encoding: str | None) -> None:
    with pytest.raises(Problem) as refused:
        check_content_type(content_type, encoding)
    assert refused.value.code == "unsupported_media_type"


def test_fields_are_all_there_and_nothing_else() -> None:
    assert parse(b'{"b": "2", "a": "1"}', ("a", "b")) == {"a": "1", "b": "2"}
    assert parse(b"{}", ()) == {}


@pytest.mark.parametrize(
    ("raw", "code", "where"),
    [
        (b'{"a": "1"}', "missing_field", "/b"),
        (b'{"a": "1", "b": "2", "c": 3}', "unknown_field", "/c"),
        (b'{"a": "1", "b": 2}', "wrong_type", "/b"),
        (b'{"a": "1", "a": "1", "b": "2"}', "duplicate_field", "/a"),
        (b'{"a": {"x": 1, "x": 1}, "b": "2"}', "duplicate_field", "/x"),
        (b"null", "wrong_type", ""),
    ],
)
def test_the_member_at_fault_is_named(raw: bytes, code: str, where: str) -> None:
    with pytest.raises(Problem) as refused:
        parse(raw, ("a", "b"))
    assert (refused.value.code, refused.value.members["pointer"]) == (code, where)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf{}",
        b'{"a": "\\ud800"}',
        b'{"\\udfff": "1"}',
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": Infinity}',
        b"{} {}",
    ],
)
def test_what_is_nearly_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        parse(raw, ("a",))
    assert refused.value.code == "invalid_json"


def test_the_deepest_body_is_just_accepted_as_json() -> None:
    with pytest.raises(Problem) as refused:
        parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, ())
    assert refused.value.code == "wrong_type"


def test_a_number_of_any_length_is_read_as_one() -> None:
    with pytest.raises(Problem) as refused:
        parse(b'{"a": ' + b"9" * 10_000 + b"}", ("a",))
    assert refused.value.code == "wrong_type"


def test_a_clients_words_are_shown_quoted_and_cut() -> None:
    assert shown("a\r\nb") == '"a\\r\\nb"'
    assert len(shown("a" * 1000)) < 100
    assert pointer("a~b/c") == "/a~0b~1c"
