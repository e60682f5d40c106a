"""Requests whose headers and only DATA come in one read: one event, and no object until something else happens."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import Client

from sidecar.http2 import DATA, REQUEST, RESET, WHOLE, Connection, ErrorCode, Limits, Reply, encode

OK = encode([(b":status", b"200")])
ANSWER = Reply.of(OK, b"answer", encode([(b"grpc-status", b"0")]))


def request(stream_id: int, payload: bytes = b"asked") -> bytes:
    return wire.headers(stream_id) + wire.data(stream_id, payload, end=True)


@pytest.fixture
def client() -> Client:
    """Its header block is known."""
    made = Client(Limits(streams=4))
    made.send(request(1))
    made.connection.reply(1, ANSWER)
    made.take()
    made.frames.clear()
    return made


def kinds(connection: Connection[object], data: bytes) -> list[tuple[int, int]]:
    return [(event[0], event[1]) for event in connection.receive(data)]


def test_it_is_one_event_and_its_answer_ends_it(client: Client) -> None:
    assert kinds(client.connection, request(3) + request(5)) == [(WHOLE, 3), (WHOLE, 5)]
    assert client.connection.open_streams == 2
    client.connection.reply(5, ANSWER)
    client.connection.reply(3, ANSWER)
    assert [frame.stream_id for frame in client.take()] == [5, 5, 5, 3, 3, 3]
    assert client.connection.open_streams == 0


@pytest.mark.parametrize("cut", [-14, -13, -6, -1])
def test_it_is_two_if_its_data_comes_later(client: Client, cut: int) -> None:
    data = request(3)
    assert kinds(client.connection, data[:cut]) == [(REQUEST, 3)]
    assert kinds(client.connection, data[cut:]) == [(DATA, 3)]


def test_it_counts_as_a_stream_until_it_is_answered(client: Client) -> None:
    assert kinds(client.connection, b"".join(map(request, (3, 5, 7, 9)))) == [(WHOLE, s) for s in (3, 5, 7, 9)]
    assert kinds(client.connection, request(11)) == []
    client.take()
    assert client.resets == [(11, 7)]
    client.connection.reply(3, ANSWER)
    assert kinds(client.connection, request(13)) == [(WHOLE, 13)]


def test_one_that_the_peer_resets_is_not_answered(client: Client) -> None:
    assert kinds(client.connection, request(3) + wire.rst_stream(3) + request(5)) == [
        (WHOLE, 3),
        (RESET, 3),
        (WHOLE, 5),
    ]
    client.connection.reply(3, ANSWER)
    assert client.take() == []
    client.connection.reply(5, ANSWER)
    client.take()
    assert client.body(5) == b"answer"


def test_more_data_on_it_is_a_violation(client: Client) -> None:
    client.connection.receive(request(3) + wire.data(3, b"more") + request(5))
    client.take()
    assert client.resets == [(3, 5)]
    assert client.connection.open_streams == 1


def test_its_data_is_no_longer_than_a_frame(client: Client) -> None:
    assert kinds(client.connection, request(3, bytes(16_384)) + request(5, bytes(16_385))) == [(WHOLE, 3), (REQUEST, 5)]
    client.take()
    assert client.goaway == ErrorCode.FRAME_SIZE_ERROR


def test_its_data_is_no_longer_than_the_stream_s_window() -> None:
    client = Client(Limits(stream_window=100))
    client.send(request(1, bytes(100)))
    assert kinds(client.connection, request(3, bytes(100))) == [(WHOLE, 3)]
    assert kinds(client.connection, request(5, bytes(101))) == [(REQUEST, 5), (RESET, 5)]
    client.take()
    assert client.resets == [(5, ErrorCode.FLOW_CONTROL_ERROR)]


def test_its_data_is_as_long_as_it_says(client: Client) -> None:
    fields = (*wire.REQUEST, (b"content-length", b"5"))
    for stream_id, payload in ((3, b"asked"), (5, b"asked"), (7, b"asked more")):
        client.send(wire.headers(stream_id, fields) + wire.data(stream_id, payload, end=True))
    assert client.resets == [(7, ErrorCode.PROTOCOL_ERROR)]
    assert client.connection.open_streams == 2


def test_the_windows_of_one_do_not_touch_another(client: Client) -> None:
    client.send(wire.settings((4, 3)))
    client.take()
    client.frames.clear()
    assert kinds(client.connection, request(3) + request(5)) == [(WHOLE, 3), (WHOLE, 5)]
    client.send(wire.window_update(3, 3))
    client.connection.reply(3, ANSWER)
    client.connection.reply(5, ANSWER)
    client.take()
    assert (client.body(3), client.body(5)) == (b"answer", b"ans")
    client.send(wire.window_update(5, 100))
    assert client.body(5) == b"answer"
    assert client.connection.open_streams == 0


def test_an_answer_in_parts_ends_it_too(client: Client) -> None:
    client.connection.receive(request(3))
    client.connection.send_headers(3, OK)
    client.connection.send_data(3, b"part")
    client.connection.send_trailers(3, encode([(b"grpc-status", b"0")]))
    client.take()
    assert client.body(3) == b"part"
    assert client.connection.open_streams == 0
