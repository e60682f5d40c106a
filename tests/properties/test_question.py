"""Questions and answers survive their payloads, whatever they hold; whatever else comes is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.overview.places import CURSOR_PATTERN, Place, decode_place, encode_place
from core.question import (
    LONGEST_NAME,
    LONGEST_PATH,
    LONGEST_PAYLOAD,
    MOST_PIECES,
    Piece,
    Question,
    QuestionUnfit,
    in_pieces,
    put_together,
)

names = st.text(max_size=LONGEST_NAME)
sidecars = st.text(max_size=200)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4))
answers = st.dictionaries(st.text(), values, max_size=6)


@given(st.uuids(), names.filter(bool), names, st.text(max_size=LONGEST_PATH - 1), st.none() | sidecars)
def test_a_question_survives_its_payload_or_is_refused(
    id: UUID, host: str, sni: str, path: str, sidecar: str | None
) -> None:
    question = Question(id, host, sni, "/" + path, sidecar)
    with suppress(QuestionUnfit):
        payload = question.to_payload()
        assert len(payload.encode()) <= LONGEST_PAYLOAD
        assert Question.from_payload(payload) == question


@given(st.uuids(), sidecars, answers, st.randoms())
def test_an_answer_is_put_together_from_its_pieces(id: UUID, sidecar: str, answer: dict[str, Any], random: Any) -> None:
    payloads = [piece.to_payload() for piece in in_pieces(id, sidecar, answer)]
    assert all(len(payload.encode()) < 8000 for payload in payloads)
    random.shuffle(payloads)
    pieces = [Piece.from_payload(payload) for payload in payloads]
    assert {(piece.question, piece.sidecar, piece.of) for piece in pieces} == {(id, sidecar, len(pieces))}
    assert put_together({piece.number: piece.text for piece in pieces}) == answer


@given(st.integers(1, 3))
def test_a_large_answer_takes_as_many_as_it_needs(size: int) -> None:
    answer = {"noise": [sha256(bytes([number % 256, size])).hexdigest() + str(number) for number in range(size * 200)]}
    pieces = list(in_pieces(UUID(int=1), "edge", answer))
    assert len(pieces) > size
    assert put_together({piece.number: piece.text for piece in pieces}) == answer


def test_one_that_is_too_large_says_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.question.MOST_PIECES", 2)
    noise = {"noise": [UUID(int=number * 2**64 + number**5).hex for number in range(5000)]}
    (piece,) = in_pieces(UUID(int=1), "edge", noise)
    assert put_together({0: piece.text})["error"]["code"] == "answer_too_large"


def test_what_unpacks_to_more_than_anybody_says_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    (piece,) = in_pieces(UUID(int=1), "edge", {"zeros": "0" * 100_000})
    monkeypatch.setattr("core.question.LARGEST_ANSWER", 50_000)
    with pytest.raises(ValueError, match="too large"):
        put_together({0: piece.text})


@given(st.text() | values.map(json.dumps) | answers.map(json.dumps))
def test_what_is_neither_is_refused_by_one_error(payload: str) -> None:
    for read in (Question.from_payload, Piece.from_payload):
        with pytest.raises(ValueError):
            read(payload)


@given(
    st.fixed_dictionaries(
        {"id": st.just("0" * 32) | st.text(max_size=33), "sidecar": st.text(max_size=5)},
        optional={
            "host": names | values,
            "sni": names | values,
            "path": st.just("/") | values,
            "piece": st.integers(-2, MOST_PIECES + 1) | values,
            "of": st.integers(-2, MOST_PIECES + 1) | values,
            "text": st.text() | values,
        },
    ).map(json.dumps)
)
def test_what_looks_like_one_is_one_or_refused(payload: str) -> None:
    with suppress(ValueError):
        question = Question.from_payload(payload)
        assert question.host
        assert question.path.startswith("/")
    with suppress(ValueError):
        piece = Piece.from_payload(payload)
        assert 0 <= piece.number < piece.of <= MOST_PIECES


@given(st.dictionaries(st.integers(0, 3), st.text(alphabet="ABab01+/=\n\0é", max_size=40), min_size=1))
def test_pieces_of_nothing_are_refused_by_one_error(texts: dict[int, str]) -> None:
    numbered = dict(enumerate(texts.values()))
    with suppress(ValueError):
        put_together(numbered)


keys = st.lists(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=255), min_size=1, max_size=3
)


@given(keys, st.sampled_from(["all", "search", "dead"]))
def test_a_place_survives_its_cursor(found: list[str], view: str) -> None:
    place = Place(tuple(found))
    text = encode_place(place, view)
    if len(text) <= 1400:
        assert decode_place(text) == (place, view)
    assert decode_place(text[:-1]) is None


@given(st.text(max_size=80) | st.from_regex(CURSOR_PATTERN, fullmatch=True))
def test_any_other_text_is_no_place(text: str) -> None:
    assert decode_place(text) is None
