"""Flow control, both ways (RFC 9113 5.2, 6.9)."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import DATA, DRAINED, REQUEST, RESET, ErrorCode, Limits, Reply, encode

SMALL = Limits(stream_window=65_535, connection_window=131_070)
OK = encode([(b":status", b"200")])


def long(size: int) -> Reply:
    return Reply.of(OK, b"x" * size, OK)


def updates(client: Client, stream_id: int) -> int:
    frames = [frame for frame in client.of(wire.WINDOW_UPDATE) if frame.stream_id == stream_id]
    return sum(int.from_bytes(frame.payload, "big") for frame in frames)


# What we send


def test_an_answer_waits_for_the_streams_window_and_says_when_it_is_through() -> None:
    client = Client()
    client.send(wire.settings((4, 10)), wire.headers(1, end=True))
    client.connection.reply(1, long(25))
    client.take()
    assert len(client.body(1)) == 10
    assert client.connection.queued(1) == 15
    assert client.send(wire.window_update(1, 14)) == []
    assert client.connection.queued(1) == 1
    assert client.send(wire.window_update(1, 14)) == [(DRAINED, 1)]
    assert len(client.body(1)) == 25
    assert client.frames[-1].kind == wire.HEADERS
    assert client.frames[-1].flags & wire.END_STREAM
    assert client.connection.queued(1) == 0
    assert client.connection.open_streams == 0


def test_an_answer_waits_for_the_connections_window() -> None:
    client = Client()
    client.send(wire.settings((4, 10**6)), wire.headers(1, end=True), wire.headers(3, end=True))
    client.connection.reply(1, long(65_535))
    client.connection.reply(3, long(10))
    client.take()
    assert (len(client.body(1)), len(client.body(3))) == (65_535, 0)
    assert client.send(wire.window_update(0, 9)) == []
    assert client.send(wire.window_update(0, 1)) == [(DRAINED, 3)]
    assert len(client.body(3)) == 10


def test_streams_that_wait_for_the_connections_window_take_turns() -> None:
    client = Client()
    client.send(wire.settings((4, 10**6)), *(wire.headers(stream_id, end=True) for stream_id in (1, 3, 5)))
    client.connection.reply(1, long(65_535))
    client.connection.reply(3, long(30_000))
    client.connection.reply(5, long(30_000))
    client.send(wire.window_update(0, 2 * 16_384))
    assert (len(client.body(3)), len(client.body(5))) == (16_384, 16_384)


def test_a_stream_that_waits_for_its_own_window_stops_no_other() -> None:
    client = Client()
    client.send(wire.settings((4, 70_000)), *(wire.headers(stream_id, end=True) for stream_id in (1, 3, 5)))
    client.connection.reply(1, long(65_535))
    client.connection.reply(3, long(80_000))
    client.connection.reply(5, long(10))
    client.send(wire.window_update(0, 100_000))
    assert (len(client.body(3)), len(client.body(5))) == (70_000, 10)
    assert client.connection.queued(3) == 10_000
    client.send(wire.window_update(3, 10_000))
    assert len(client.body(3)) == 80_000


def test_a_smaller_initial_window_may_bring_windows_below_zero() -> None:
    client = Client()
    client.send(wire.settings((4, 10)), wire.headers(1, end=True))
    client.connection.reply(1, long(30))
    client.take()
    client.send(wire.settings((4, 2)))
    client.send(wire.window_update(1, 8))
    assert len(client.body(1)) == 10, "the window is 0"
    client.send(wire.window_update(1, 1))
    assert len(client.body(1)) == 11
    client.send(wire.settings((4, 5)))
    assert len(client.body(1)) == 14


def test_a_larger_initial_window_lets_streams_go_on_and_says_so() -> None:
    client = Client()
    client.send(wire.settings((4, 0)), wire.headers(1, end=True))
    client.connection.reply(1, long(5))
    client.take()
    assert client.frames[-1].kind == wire.HEADERS
    assert client.send(wire.settings((4, 5))) == [(DRAINED, 1)]
    assert len(client.body(1)) == 5


def test_an_answer_without_data_needs_no_window() -> None:
    client = Client()
    client.send(wire.settings((4, 0)), wire.headers(1, end=True))
    client.connection.reply(1, Reply.of(OK))
    (frame,) = client.take()
    assert (frame.kind, frame.flags) == (wire.HEADERS, wire.END_HEADERS | wire.END_STREAM)
    assert client.connection.open_streams == 0


def test_data_is_split_to_what_every_peer_accepts() -> None:
    client = Client()
    client.send(wire.settings((4, 10**6), (5, 2**20)), wire.window_update(0, 10**6))
    for stream_id, size in ((1, 16_384), (5, 16_385), (9, 50_000)):
        client.send(wire.headers(stream_id, end=True))
        client.connection.reply(stream_id, long(size))
        client.send(wire.headers(stream_id + 2, end=True))
        client.connection.send_headers(stream_id + 2, OK)
        client.connection.send_data(stream_id + 2, b"x" * size)
        client.connection.send_trailers(stream_id + 2, OK)
        client.take()
        for each in (stream_id, stream_id + 2):
            sizes = [len(frame.payload) for frame in client.of(wire.DATA) if frame.stream_id == each]
            assert sizes == [16_384] * (size // 16_384) + ([size % 16_384] if size % 16_384 else [])


def test_the_parts_of_an_answer_come_in_their_order_whatever_waits() -> None:
    client = Client()
    client.send(wire.settings((4, 3)), wire.headers(1, end=True))
    client.connection.send_headers(1, OK)
    client.connection.send_data(1, b"abcd")
    client.connection.send_data(1, b"")
    client.connection.send_data(1, b"efg")
    client.connection.send_trailers(1, OK)
    client.connection.send_data(1, b"too late")
    client.connection.send_trailers(1, OK)
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.connection.queued(1) == 4
    client.send(wire.window_update(1, 100))
    assert client.body(1) == b"abcdefg"
    assert [frame.kind for frame in client.frames[-5:]] == [1, 0, 0, 0, 1]
    assert client.connection.open_streams == 0


def test_a_reset_drops_what_waits() -> None:
    client = Client()
    client.send(wire.settings((4, 3)), wire.headers(1, end=True), wire.headers(3, end=True))
    client.connection.reply(1, long(10))
    client.connection.reply(3, long(10))
    assert client.send(wire.rst_stream(1, 8)) == [(RESET, 1, 8)]
    client.connection.reset(3, ErrorCode.CANCEL)
    client.send(wire.settings((4, 100)))
    assert (len(client.body(1)), len(client.body(3))) == (3, 3)
    assert client.connection.queued(1) == client.connection.queued(3) == 0


def test_calls_for_a_stream_that_is_gone_do_nothing() -> None:
    client = Client()
    connection = client.connection
    client.send(wire.headers(1, end=True), wire.rst_stream(1))
    client.frames.clear()
    for stream_id in (1, 2, 3, 99):
        connection.reply(stream_id, ANSWER)
        connection.send_headers(stream_id, OK)
        connection.send_data(stream_id, b"x")
        connection.send_trailers(stream_id, OK)
        connection.reset(stream_id, ErrorCode.CANCEL)
        connection.consumed(stream_id, 5)
        assert connection.queued(stream_id) == 0
    assert client.take() == []


def test_nothing_is_reported_of_a_stream_that_was_answered_before_its_request_was_complete() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.connection.reply(1, ANSWER)
    client.take()
    assert client.frames[-1].flags & wire.END_STREAM
    assert client.connection.open_streams == 1
    assert client.send(wire.data(1, b"more"), wire.rst_stream(1)) == []
    assert client.connection.open_streams == 0
    assert client.goaway is None


def test_an_answered_stream_can_be_reset_without_an_error() -> None:
    client = Client()
    client.send(wire.headers(1), wire.data(1, b"enough"))
    client.connection.reply(1, ANSWER)
    client.connection.reset(1, ErrorCode.NO_ERROR)
    client.take()
    assert client.resets == [(1, ErrorCode.NO_ERROR)]
    assert client.send(wire.data(1, b"more"), wire.rst_stream(1)) == []
    assert client.goaway is None


# What we receive


def test_the_windows_are_announced_at_the_start() -> None:
    client = Client()
    (settings,) = [frame for frame in client.of(wire.SETTINGS) if not frame.flags & wire.ACK]
    assert b"\x00\x04\x00\x40\x00\x00" in settings.payload
    assert updates(client, 0) == 64 * 2**20 - 65_535


def test_a_message_of_the_greatest_size_needs_no_credit() -> None:
    client = Client()
    client.send(wire.headers(1))
    size = client.connection._limits.stream_window
    for _ in range(size // 16_384):
        client.send(wire.data(1, bytes(16_384)))
    client.send(wire.data(1, end=True))
    assert sum(len(event[2]) for event in client.events if event[0] == DATA) == size
    assert client.events[-1][3]
    assert client.resets == []


@pytest.mark.parametrize("end", [False, True])
def test_more_data_than_the_streams_window_resets_it(end: bool) -> None:
    client = Client(SMALL)
    client.send(wire.headers(1), *(wire.data(1, bytes(16_384)) for _ in range(3)), wire.data(1, bytes(16_383)))
    assert client.resets == []
    client.send(wire.data(1, b"x", end=end))
    assert client.resets == [(1, ErrorCode.FLOW_CONTROL_ERROR)]


@pytest.mark.parametrize("end", [False, True])
def test_more_data_than_the_connections_window_ends_the_connection(end: bool) -> None:
    client = Client(SMALL)
    for stream_id in (1, 3):
        client.send(wire.headers(stream_id), *(wire.data(stream_id, bytes(16_384)) for _ in range(3)))
        client.send(wire.data(stream_id, bytes(16_383)))
    assert client.goaway is None
    client.send(wire.headers(5), wire.data(5, b"x", end=end))
    assert client.goaway == ErrorCode.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("end", ["complete", "reset by the peer", "reset by us", "answered", "malformed"])
def test_the_connections_credit_comes_back_when_the_request_is(end: str) -> None:
    client = Client(SMALL)
    client.send(wire.headers(1), *(wire.data(1, bytes(16_000)) for _ in range(4)))
    assert updates(client, 0) == 65_535
    assert client.connection._held == 64_000
    if end == "complete":
        client.send(wire.data(1, end=True))
    elif end == "reset by the peer":
        client.send(wire.rst_stream(1))
    elif end == "reset by us":
        client.connection.reset(1, ErrorCode.CANCEL)
    elif end == "answered":
        client.connection.reply(1, ANSWER)
    else:
        client.send(wire.headers(1))
    client.take()
    assert client.connection._held == 0
    assert updates(client, 0) == 65_535 + 64_000


def test_a_stream_without_end_goes_on_as_long_as_its_data_is_consumed() -> None:
    client = Client(SMALL)
    client.send(wire.headers(1))
    for _ in range(100):
        client.send(wire.data(1, bytes(10_000)))
        client.connection.consumed(1, 10_000)
        client.take()
    assert client.resets == []
    assert client.goaway is None
    assert 900_000 <= updates(client, 1) <= 10**6
    assert 900_000 <= updates(client, 0) - 65_535 <= 10**6


def test_credit_comes_in_small_parts_when_most_of_the_window_is_held() -> None:
    client = Client(SMALL)
    for stream_id, last in ((1, 16_383), (3, 10_848)):  # 125,535 of 131,070 bytes, incomplete
        client.send(wire.headers(stream_id), *(wire.data(stream_id, bytes(16_384)) for _ in range(3)))
        client.send(wire.data(stream_id, bytes(last)))
    for stream_id in range(5, 65, 2):
        client.send(wire.headers(stream_id), wire.data(stream_id, bytes(1_000), end=True))
        client.connection.reply(stream_id, ANSWER)
        client.take()
    assert client.goaway is None


def test_no_more_credit_is_given_than_was_used() -> None:
    client = Client(SMALL)
    client.send(wire.headers(1), wire.data(1, bytes(16_384)))
    client.connection.consumed(1, 10**9)
    client.connection.consumed(1, 10**9)
    client.take()
    assert updates(client, 1) == 16_384
    assert client.connection._held == 0


def test_padding_is_given_back_at_once() -> None:
    client = Client(SMALL)
    client.send(wire.headers(1), *(wire.data(1, b"x", padding=255) for _ in range(100)))
    assert client.connection._held == 100
    assert updates(client, 1) >= 100 * 256 - 65_535 // 4
    assert len([event for event in client.events if event[:3] == (DATA, 1, b"x")]) == 100


def test_until_our_settings_are_acknowledged_the_peer_has_the_default_windows() -> None:
    client = Client(Limits(stream_window=10), greet=False)
    client.send(wire.PREFACE, wire.settings(), wire.headers(1), wire.data(1, b"x" * 20))
    assert client.resets == [], "it may not know yet"
    client.send(wire.settings(ack=True), wire.headers(3), wire.data(3, b"x" * 11))
    assert client.resets == [(3, ErrorCode.FLOW_CONTROL_ERROR)]
    client.send(wire.data(1, b"x"))
    assert client.resets[-1] == (1, ErrorCode.FLOW_CONTROL_ERROR), "its window is below 0 now"
    assert [event[0] for event in client.events] == [REQUEST, DATA, REQUEST, RESET, RESET]
