"""What a peer can make us keep or do has a bound, and crossing it ends the connection with ENHANCE_YOUR_CALM."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import REQUEST, ErrorCode, Limits, encode

CALM = ErrorCode.ENHANCE_YOUR_CALM
FEW = Limits(resets=20, resets_per_second=10, control_frames=20, control_frames_per_second=10)

CONTROL = {
    "PING": wire.ping(),
    "PING acknowledgements": wire.ping(ack=True),
    "SETTINGS": wire.settings(),
    "SETTINGS acknowledgements": wire.settings(ack=True),
    "PRIORITY": wire.priority(7),
    "WINDOW_UPDATE on the connection": wire.window_update(0, 1),
    "WINDOW_UPDATE on a stream": wire.window_update(1, 1),
    "unknown frames": wire.frame(99, 0, 0),
    "empty DATA": wire.data(1),
    "DATA that is only padding": wire.data(1, padding=9),
}


@pytest.mark.parametrize("what", CONTROL)
def test_a_flood_of_frames_without_a_request_ends_the_connection(what: str) -> None:
    client = Client(FEW)
    client.send(wire.headers(1))
    client.send(*[CONTROL[what]] * 100)
    assert client.goaway == CALM
    assert client.connection.closed


@pytest.mark.parametrize("what", CONTROL)
def test_the_same_frames_in_their_time_are_fine(what: str) -> None:
    client = Client(FEW)
    client.send(wire.headers(1))
    for _ in range(100):
        client.clock.now += 0.1
        client.send(CONTROL[what])
    assert client.goaway is None


def test_requests_allow_for_their_control_frames() -> None:
    client = Client(FEW)
    for stream_id in range(1, 400, 2):
        client.send(wire.headers(stream_id, end=True))
        client.connection.reply(stream_id, ANSWER)
        client.send(wire.window_update(0, 5), wire.window_update(stream_id, 5), *[wire.ping()] * 5)
    assert client.goaway is None


def streaming(limits: Limits) -> Client:
    """With one stream that is answered in parts."""
    client = Client(limits)
    client.send(wire.headers(1))
    client.connection.send_headers(1, encode([(b":status", b"200")]))
    client.take()
    return client


def test_parts_of_an_answer_allow_for_their_control_frames() -> None:
    """gRPC's core answers each message with a PING, a WINDOW_UPDATE, or both."""
    client = streaming(FEW)
    for _ in range(1_000):
        client.connection.send_data(1, bytes(100))
        client.send(wire.window_update(0, 100), wire.window_update(1, 100), wire.ping())
    assert client.goaway is None


@pytest.mark.parametrize("what", CONTROL)
def test_a_flood_after_a_long_answer_ends_the_connection(what: str) -> None:
    """What was earned does not pile up."""
    client = streaming(FEW)
    client.send(wire.window_update(0, 2**24), wire.window_update(1, 2**24))
    for _ in range(1_000):
        client.connection.send_data(1, bytes(100))
    client.take()
    client.send(*[CONTROL[what]] * 100)
    assert client.goaway == CALM


def test_an_answer_drawn_out_octet_by_octet_allows_for_nothing() -> None:
    """CVE-2019-9511: each WINDOW_UPDATE brings a DATA frame."""
    client = Client(FEW)
    client.send(wire.settings((4, 0)), wire.headers(1))
    client.connection.send_headers(1, encode([(b":status", b"200")]))
    for _ in range(100):
        client.connection.send_data(1, b"seven..")
    for _ in range(100):
        client.send(wire.window_update(1, 1))
    assert client.goaway == CALM
    assert len(client.body(1)) < 25


def waiting(limits: Limits, count: int) -> Client:
    """A client whose `count` streams all wait for their windows, with no control frames to spare for it."""
    client = Client(limits)
    client.send(wire.settings((4, 0)), *(wire.headers(2 * n + 1, end=True) for n in range(count)))
    for n in range(count):
        client.connection.reply(2 * n + 1, ANSWER)
    client.take()
    return client


NONE_EARNED = Limits(control_frames=60, control_frames_per_second=0, control_frames_per_stream=0)


def test_answers_drawn_out_byte_by_byte_by_settings_end_the_connection() -> None:
    client = waiting(NONE_EARNED, 20)
    client.send(wire.settings((4, 1)), wire.settings((4, 2)))
    assert [len(client.body(2 * n + 1)) for n in range(20)] == [2] * 20
    client.send(wire.settings((4, 3)))
    assert client.goaway == CALM


def test_settings_that_widen_no_window_wake_no_stream() -> None:
    client = waiting(NONE_EARNED, 20)
    client.send(*[wire.settings(), wire.settings((4, 0))] * 20)
    assert client.goaway is None


def test_rst_stream_on_closed_streams_is_a_flood_too() -> None:
    client = Client(FEW)
    client.send(wire.headers(1, end=True))
    client.connection.reply(1, ANSWER)
    client.send(*[wire.rst_stream(1)] * 100)
    assert client.goaway == CALM


def rapid_reset(client: Client, first: int, count: int) -> None:
    for stream_id in range(first, first + 2 * count, 2):
        client.send(wire.headers(stream_id), wire.rst_stream(stream_id))


def test_streams_opened_and_reset_at_once_end_the_connection() -> None:
    client = Client(FEW)
    rapid_reset(client, 1, 20)
    assert client.goaway is None
    rapid_reset(client, 41, 1)
    assert client.goaway == CALM


def test_resets_are_allowed_so_many_a_second() -> None:
    client = Client(FEW)
    rapid_reset(client, 1, 20)
    client.clock.now += 1.0
    rapid_reset(client, 41, 10)
    assert client.goaway is None
    rapid_reset(client, 61, 1)
    assert client.goaway == CALM


def test_time_without_resets_saves_up_no_more_than_the_bound() -> None:
    client = Client(FEW)
    client.clock.now += 3600.0
    rapid_reset(client, 1, 20)
    assert client.goaway is None
    rapid_reset(client, 41, 1)
    assert client.goaway == CALM


def test_resets_of_streams_that_were_answered_are_no_flood() -> None:
    """Envoy ends each ext_proc exchange so."""
    client = Client(FEW)
    for stream_id in range(1, 2_000, 2):
        client.send(wire.headers(stream_id), wire.data(stream_id, b"x"))
        client.connection.reply(stream_id, ANSWER)
        client.send(wire.rst_stream(stream_id))
    assert client.goaway is None


@pytest.mark.parametrize("end", [True, False])
def test_malformed_requests_without_end_end_the_connection(end: bool) -> None:
    client = Client(FEW)
    for stream_id in range(1, 201, 2):
        client.send(wire.headers(stream_id, [(b"A", b"b")], end=end))
    assert client.goaway == CALM
    assert len(client.resets) == 20


def test_streams_above_the_limit_without_end_end_the_connection() -> None:
    client = Client(Limits(streams=1, resets=20))
    client.send(*(wire.headers(stream_id) for stream_id in range(1, 201, 2)))
    assert client.goaway == CALM
    assert set(client.resets) == {(stream_id, ErrorCode.REFUSED_STREAM) for stream_id in range(3, 43, 2)}


@pytest.mark.parametrize("frame", [wire.data(1, b"x"), wire.headers(1, [(b"a", b"b")])])
def test_frames_on_a_stream_that_we_reset_are_a_flood_after_a_while(frame: bytes) -> None:
    client = Client(FEW)
    client.send(wire.headers(1))
    client.connection.reset(1, ErrorCode.CANCEL)
    client.send(*[frame] * 100)
    assert client.goaway == CALM


def test_a_large_message_on_its_way_to_a_stream_that_we_reset_is_no_flood() -> None:
    client = Client(FEW)
    client.send(wire.headers(1))
    client.connection.reset(1, ErrorCode.CANCEL)
    client.send(*[wire.data(1, bytes(16_384))] * 256)
    assert client.goaway is None
    assert client.connection._held == 0


def test_answers_that_nobody_takes_end_the_connection() -> None:
    client = Client(Limits(queued_answers=50))
    connection = client.connection
    for _ in range(51):
        connection.receive(wire.ping())
    assert connection.closed
    assert connection.failed is CALM
    assert len(connection.output()) == 50 * 17 + 9 + 8 + len("too many answers nobody reads")


def test_continuation_without_end_is_cut_by_count() -> None:
    client = Client()
    client.send(wire.headers(1, more=True), *[wire.frame(wire.CONTINUATION, 0, 1)] * 64)
    assert client.goaway is None
    client.send(wire.frame(wire.CONTINUATION, 0, 1))
    assert client.goaway == CALM


def test_continuation_without_end_is_cut_by_size() -> None:
    client = Client()
    client.send(wire.headers(1, more=True), wire.frame(wire.CONTINUATION, 0, 1, bytes(16_384)))
    assert client.goaway is None
    client.send(wire.frame(wire.CONTINUATION, 0, 1, bytes(16_384)))
    assert client.goaway == CALM


def test_a_long_header_list_in_several_frames_is_read() -> None:
    client = Client()
    block = wire.literal([*wire.REQUEST, *((b"x-%d" % n, b"y" * 4_000) for n in range(5))])
    parts = [block[start : start + 4_000] for start in range(0, len(block), 4_000)]
    client.send(wire.frame(wire.HEADERS, wire.END_STREAM, 1, parts[0]))
    client.send(*(wire.frame(wire.CONTINUATION, 0, 1, part) for part in parts[1:-1]))
    (event,) = client.send(wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1, parts[-1]))
    assert event[0] == REQUEST
    assert event[3]
    assert len(event[2]) == len(wire.REQUEST) + 5


def test_a_header_list_above_the_limit_ends_the_connection() -> None:
    client = Client(Limits(header_list=1_000))
    client.send(wire.headers(1, [*wire.REQUEST, (b"x", b"y" * 1_000)]))
    assert client.goaway == CALM


def test_a_small_block_that_decodes_to_a_large_list_ends_the_connection() -> None:
    client = Client()
    bomb = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4_000 + b"\xbe" * 1_000  # 4 MB from 5 KB
    client.send(wire.frame(wire.HEADERS, 5, 1, wire.literal(wire.REQUEST) + bomb))
    assert client.goaway == CALM


def test_ids_passed_over_keep_no_memory() -> None:
    client = Client()
    for stream_id in range(1, 4_001, 4):
        client.send(wire.headers(stream_id, end=True))
        client.connection.reply(stream_id, ANSWER)
    assert len(client.connection._past._passed_over) == client.connection._limits.skipped_ranges


def test_blocks_without_end_keep_no_memory() -> None:
    client = Client()
    for number in range(1_000):
        client.send(wire.headers(2 * number + 1, [*wire.REQUEST, (b"n", b"%d" % number)], end=True))
        client.connection.reply(2 * number + 1, ANSWER)
    assert len(client.connection._decoder.memo) <= client.connection._limits.memo_blocks


def test_settings_of_a_thousand_windows_look_at_each_stream_once() -> None:
    """Not at 1,000 streams for each of 2,700 settings."""
    client = Client()
    client.send(*(wire.headers(stream_id) for stream_id in range(1, 2_001, 2)), wire.window_update(1, 2**30))
    looked = []

    class Counting(dict):  # type: ignore[type-arg]
        def values(self):  # type: ignore[no-untyped-def]
            looked.append(1)
            return super().values()

    client.connection._streams = Counting(client.connection._streams)
    client.connection.reset(1, ErrorCode.CANCEL)
    client.send(*[wire.settings(*[(4, 2**31 - 1), (4, 0)] * 1_300)] * 3)
    assert client.goaway is None
    assert len(looked) == 1
