"""Bytes mean the same however they are split, and no bytes at all can make the codec raise."""

from __future__ import annotations

from random import Random
from typing import Any

import h2.config
import h2.connection
from fuzz import wire
from fuzz.events import apart
from fuzz.http2 import LIMITS, check, connection, converse
from fuzz.traffic import Conversation, mutate
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.http2 import Connection, Limits

SEEDS = st.integers(0, 2**32)
CUTS = st.lists(st.integers(1, 40), max_size=30)


def read(made: Connection[Any], data: bytes, cuts: list[int]) -> tuple[list[Any], bytes]:
    """In pieces of the sizes `cuts`, again and again, and the output taken after each."""
    events: list[Any] = []
    output = made.output()
    position, turn = 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)] if cuts else len(data)
        events += apart(made.receive(data[position : position + size]))
        output += made.output()
        position += size
        turn += 1
    return events, output


def same_in_pieces(data: bytes, cuts: list[int], limits: Limits) -> None:
    at_once, in_pieces = connection(limits), connection(limits)
    assert read(at_once, data, []) == read(in_pieces, data, cuts)
    assert at_once.failed == in_pieces.failed
    check(at_once)
    check(in_pieces)


@given(SEEDS, CUTS, st.sampled_from(LIMITS))
def test_a_clients_conversation_means_the_same_in_any_pieces(seed: int, cuts: list[int], limits: Limits) -> None:
    same_in_pieces(Conversation(Random(seed)).bytes(10), cuts, limits)


@given(SEEDS, CUTS, st.sampled_from(LIMITS))
def test_a_mutilated_conversation_means_the_same_in_any_pieces(seed: int, cuts: list[int], limits: Limits) -> None:
    random = Random(seed)
    same_in_pieces(mutate(random, Conversation(random).bytes(5)), cuts, limits)


def of_h2(requests: list[tuple[int, bool]]) -> bytes:
    """What h2's client sends before it has heard anything."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for size, fresh in requests:
        stream_id = client.get_next_available_stream_id()
        fields = [*wire.REQUEST, (b"x-request-id", b"%d" % stream_id if fresh else b"0")]
        client.send_headers(stream_id, fields)
        client.send_data(stream_id, b"d" * size, end_stream=True)
    return client.data_to_send()


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=8), CUTS, SEEDS, st.booleans())
def test_what_h2s_client_sends_means_the_same_in_any_pieces(
    requests: list[tuple[int, bool]], cuts: list[int], seed: int, mutilated: bool
) -> None:
    data = of_h2(requests)
    same_in_pieces(mutate(Random(seed), data) if mutilated else data, cuts, Limits())


@given(st.binary(max_size=200), CUTS, st.booleans())
@example(b"\x00", [], False)
def test_arbitrary_bytes_mean_the_same_in_any_pieces(data: bytes, cuts: list[int], greeted: bool) -> None:
    same_in_pieces((wire.PREFACE + wire.settings() if greeted else b"") + data, cuts, Limits())


@given(st.data())
def test_a_frame_of_any_type_flags_and_payload_is_answered(data: st.DataObject) -> None:
    frames = data.draw(
        st.lists(
            st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=12)), max_size=8
        )
    )
    sent = wire.PREFACE + wire.settings() + wire.headers(1) + b"".join(wire.frame(*frame) for frame in frames)
    same_in_pieces(sent, [7], Limits())
    converse(sent, Random(0), Limits())


@given(SEEDS, st.sampled_from(LIMITS))
def test_a_second_reader_of_both_directions_finds_no_fault(seed: int, limits: Limits) -> None:
    random = Random(seed)
    converse(Conversation(random).bytes(20), random, limits)
