"""GOAWAY: ours when we drain, and the peer's."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import REQUEST, ErrorCode


def goaways(client: Client) -> list[tuple[int, int]]:
    """Last stream id and code of each."""
    return [(int.from_bytes(frame.payload[:4], "big"), frame.code) for frame in client.of(wire.GOAWAY)]


def drained(client: Client) -> None:
    """The peer has read the GOAWAY, and answers the PINGs after it."""
    for number in range(2):
        client.send(wire.ping(asked(client)[number], ack=True))


def asked(client: Client) -> list[bytes]:
    return [frame.payload for frame in client.of(wire.PING) if not frame.flags & wire.ACK]


def test_a_drain_says_that_all_streams_on_their_way_are_served() -> None:
    client = Client()
    client.connection.drain()
    client.connection.drain()
    client.take()
    assert goaways(client) == [(2**31 - 1, ErrorCode.NO_ERROR)]
    assert not client.connection.closed


def test_a_stream_opened_before_the_goaway_was_read_is_served() -> None:
    client = Client()
    client.connection.drain()
    client.take()
    (event,) = client.send(wire.headers(1, end=True))
    assert event[:2] == (REQUEST, 1)
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.body(1) == ANSWER.data
    assert not client.connection.closed, "another stream may be on its way"


def test_a_drain_ends_when_the_peer_has_read_the_goaway_and_the_last_stream_is_done() -> None:
    client = Client()
    client.send(wire.headers(1, end=True))
    client.connection.drain()
    client.take()
    drained(client)
    assert not client.connection.closed
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.body(1) == ANSWER.data
    assert goaways(client) == [(2**31 - 1, 0), (1, 0)]
    assert client.connection.closed
    assert client.connection.failed is None


def test_a_drain_without_streams_ends_when_the_peer_has_read_the_goaway() -> None:
    client = Client()
    client.connection.drain()
    client.take()
    drained(client)
    assert goaways(client) == [(2**31 - 1, 0), (0, 0)]
    assert client.connection.closed


def test_a_stream_that_comes_behind_the_answer_to_the_first_ping_is_served() -> None:
    client = Client()
    client.connection.drain()
    client.take()
    client.send(wire.ping(asked(client)[0], ack=True))
    client.send(wire.headers(1, end=True))
    assert client.send(wire.ping(asked(client)[1], ack=True)) == []
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.body(1) == ANSWER.data
    assert goaways(client) == [(2**31 - 1, 0), (1, 0)]


def test_each_ping_of_a_drain_is_sent_once() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.connection.drain()
    client.take()
    drained(client)
    for payload in asked(client) * 2:
        client.send(wire.ping(payload, ack=True))
    assert len(asked(client)) == 2
    assert not client.connection.closed


def test_a_drain_ends_by_a_reset_of_the_last_stream_too() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.connection.drain()
    client.take()
    drained(client)
    client.send(wire.rst_stream(1))
    assert client.connection.closed


def test_a_drain_waits_for_the_peers_window() -> None:
    client = Client()
    client.send(wire.settings((4, 1)), wire.headers(1, end=True))
    client.connection.drain()
    client.connection.reply(1, ANSWER)
    client.take()
    drained(client)
    assert not client.connection.closed
    client.send(wire.window_update(1, 1_000))
    assert client.body(1) == ANSWER.data
    assert client.connection.closed


def test_another_ping_is_not_taken_for_the_drains() -> None:
    client = Client()
    client.connection.drain()
    client.take()
    client.send(wire.ping(b"whatever", ack=True))
    assert not client.connection.closed


@pytest.mark.parametrize("code", [0, 1, 0xFFFF])
def test_the_peers_goaway_ends_the_connection_when_its_streams_are_done(code: int) -> None:
    client = Client()
    client.send(wire.headers(1, end=True), wire.frame(wire.GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big")))
    assert not client.connection.closed
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.body(1) == ANSWER.data
    assert goaways(client) == [(1, 0)]
    assert client.connection.closed
    assert client.connection.failed is None


def test_an_abort_says_its_code_and_nothing_more_is_sent() -> None:
    client = Client()
    client.send(wire.headers(1, end=True))
    client.connection.abort(ErrorCode.ENHANCE_YOUR_CALM)
    client.connection.abort(ErrorCode.INTERNAL_ERROR)
    client.connection.reply(1, ANSWER)
    client.connection.drain()
    client.connection.ping(b"12345678")
    client.take()
    assert goaways(client) == [(1, ErrorCode.ENHANCE_YOUR_CALM)]
    assert client.body(1) == b""
    assert client.connection.closed
    assert client.connection.failed is ErrorCode.ENHANCE_YOUR_CALM


def test_a_fault_is_told_as_the_reason_of_the_end() -> None:
    client = Client()
    assert client.connection.failed is None
    client.send(wire.data(1))
    assert client.connection.failed is ErrorCode.PROTOCOL_ERROR


def test_a_connection_is_established_by_the_peers_settings() -> None:
    client = Client(greet=False)
    client.send(wire.PREFACE)
    assert not client.connection.established
    client.send(wire.settings())
    assert client.connection.established


def test_a_ping_of_ours_asks_and_its_answer_is_no_event() -> None:
    client = Client()
    client.connection.ping(b"12345678")
    (frame,) = client.take()
    assert (frame.kind, frame.flags, frame.payload) == (wire.PING, 0, b"12345678")
    assert client.send(wire.ping(b"12345678", ack=True)) == []


def test_a_ping_is_answered_with_its_payload() -> None:
    client = Client()
    client.send(wire.ping(b"abcdefgh"))
    (frame,) = client.of(wire.PING)
    assert (frame.flags, frame.payload) == (wire.ACK, b"abcdefgh")
