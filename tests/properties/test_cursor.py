"""Cursors: any text decodes to a position or to nothing, and only what was encoded decodes."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import assume, example, given
from hypothesis import strategies as st

from api.pagination import (
    CURSOR_PATTERN,
    ENTRY_CURSOR_PATTERN,
    decode_cursor,
    decode_entry_cursor,
    encode_cursor,
    encode_entry_cursor,
)
from api.service import Position

positions = st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.uuids())
cursor_like = st.binary(min_size=28, max_size=28).map(lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


@given(positions)
@example(Position(datetime.min.replace(tzinfo=UTC), UUID(int=0)))
@example(Position(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1)))
def test_a_position_comes_back_from_its_cursor(position: Position) -> None:
    cursor = encode_cursor(position)
    assert re.fullmatch(CURSOR_PATTERN, cursor)
    assert decode_cursor(cursor) == position


@given(st.text() | cursor_like | st.from_regex(r"[A-Za-z0-9+/_=-]{36,40}"))
def test_any_text_is_a_position_or_nothing(text: str) -> None:
    position = decode_cursor(text)
    assert position is None or encode_cursor(position) == text


@given(positions, st.integers(0, 37), st.sampled_from("ABab09-_+/= é"))
def test_an_edited_cursor_is_refused(position: Position, index: int, character: str) -> None:
    cursor = encode_cursor(position)
    assume(cursor[index] != character)
    assert decode_cursor(cursor[:index] + character + cursor[index + 1 :]) is None


@given(positions, st.integers(0, 37))
def test_a_cut_cursor_is_refused(position: Position, length: int) -> None:
    assert decode_cursor(encode_cursor(position)[:length]) is None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 15), st.sampled_from("ABab09-_+/= é"))
def test_an_entry_comes_back_from_its_cursor_and_from_no_other_text(entry: int, index: int, character: str) -> None:
    cursor = encode_entry_cursor(entry)
    assert re.fullmatch(ENTRY_CURSOR_PATTERN, cursor)
    assert decode_entry_cursor(cursor) == entry
    assert decode_cursor(cursor) is None
    assert decode_entry_cursor(cursor[:index]) is None
    assume(cursor[index] != character)
    assert decode_entry_cursor(cursor[:index] + character + cursor[index + 1 :]) is None


@given(st.text() | cursor_like | st.from_regex(r"[A-Za-z0-9+/_=-]{14,18}"))
def test_any_text_is_an_entry_or_nothing(text: str) -> None:
    entry = decode_entry_cursor(text)
    assert entry is None or encode_entry_cursor(entry) == text
