"""Our client against h2's server: the same frames, whatever way the bytes come."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.http2 import Http2Client
from bench.load.message import CHECK_PATH


def server() -> h2.connection.H2Connection:
    made = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    made.initiate_connection()
    return made


def take(client: Http2Client) -> bytes:
    out = bytes(client.out)
    client.out.clear()
    return out


def answer(peer: h2.connection.H2Connection, stream: int, message: bytes) -> None:
    peer.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    peer.send_data(stream, message)
    peer.send_headers(stream, [("grpc-status", "0")], end_stream=True)


def test_a_request_is_a_grpc_call() -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    stream = client.request(b"message")
    events = peer.receive_data(take(client))
    (request,) = [event for event in events if isinstance(event, h2.events.RequestReceived)]
    headers = dict(request.headers)
    assert request.stream_id == stream
    assert headers[b":path"] == CHECK_PATH
    assert headers[b"content-type"] == b"application/grpc"
    assert headers[b"te"] == b"trailers"
    assert any(isinstance(event, h2.events.DataReceived) and event.data == b"message" for event in events)
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.data())
def test_answers_are_the_same_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    streams = [client.request(b"x") for _ in messages]
    peer.receive_data(take(client))
    for stream, message in zip(streams, messages, strict=True):
        answer(peer, stream, message)
    output = peer.data_to_send()
    found = []
    while output:
        size = data.draw(st.integers(1, len(output)))
        found += client.receive(output[:size])
        output = output[size:]
    assert found == list(zip(streams, messages, strict=True))


def test_a_reset_stream_ends_without_a_message() -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    stream = client.request(b"x")
    peer.receive_data(take(client))
    peer.reset_stream(stream)
    assert client.receive(peer.data_to_send()) == [(stream, None)]


def test_settings_and_pings_are_acknowledged() -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    peer.receive_data(take(client))
    peer.ping(b"12345678")
    assert client.receive(peer.data_to_send()) == []
    events = peer.receive_data(take(client))
    assert any(isinstance(event, h2.events.PingAckReceived) for event in events)
    assert any(isinstance(event, h2.events.SettingsAcknowledged) for event in events)


def test_a_goaway_is_noticed() -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    peer.receive_data(take(client))
    peer.close_connection()
    assert not client.going_away
    client.receive(peer.data_to_send())
    assert client.going_away


@pytest.mark.parametrize("size", [1, 1000])
def test_the_peers_window_is_counted(size: int) -> None:
    client, peer = Http2Client("authz", CHECK_PATH), server()
    before = client.send_window
    client.request(b"x" * size)
    assert client.send_window == before - size
    peer.receive_data(take(client))
    peer.increment_flow_control_window(5000)
    client.receive(peer.data_to_send())
    assert client.send_window == before - size + 5000
