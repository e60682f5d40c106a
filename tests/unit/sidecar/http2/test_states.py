"""Every state and every frame of the stream table, driven through the connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import DATA, REQUEST, RESET, ErrorCode
from sidecar.http2.states import TABLE, Effect, Input, State

FIELDS = [(b"a", b"b")]

BRING: dict[State, Callable[[Client], object]] = {
    State.IDLE: lambda client: None,
    State.OPEN: lambda client: client.send(wire.headers(1)),
    State.HALF_CLOSED_REMOTE: lambda client: client.send(wire.headers(1, end=True)),
    State.HALF_CLOSED_LOCAL: lambda client: (client.send(wire.headers(1)), client.connection.reply(1, ANSWER)),
    State.RESET: lambda client: (client.send(wire.headers(1)), client.connection.reset(1, ErrorCode.CANCEL)),
    State.CLOSED: lambda client: (client.send(wire.headers(1, end=True)), client.connection.reply(1, ANSWER)),
}

GIVE: dict[Input, Callable[[Client], object]] = {
    Input.HEADERS: lambda client: client.send(wire.headers(1, fields(client))),
    Input.HEADERS_END: lambda client: client.send(wire.headers(1, fields(client), end=True)),
    Input.DATA: lambda client: client.send(wire.data(1, b"x")),
    Input.DATA_END: lambda client: client.send(wire.data(1, b"x", end=True)),
    Input.RST_STREAM: lambda client: client.send(wire.rst_stream(1)),
    Input.WINDOW_UPDATE: lambda client: client.send(wire.window_update(1, 1)),
    Input.PRIORITY: lambda client: client.send(wire.priority(1)),
    Input.SENT_END: lambda client: client.connection.reply(1, ANSWER),
    Input.SENT_RST_STREAM: lambda client: client.connection.reset(1, ErrorCode.CANCEL),
}


def fields(client: Client) -> tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]]:
    """Of a request on an idle stream, of trailers on any other."""
    return FIELDS if client.events or client.frames[2:] else wire.REQUEST


def state(client: Client) -> State:
    stream = client.connection._streams.get(1)
    return stream.state if stream is not None else client.connection._past.state(1)


def test_the_table_has_a_row_for_every_state_and_frame_received() -> None:
    received = [given for given in Input if given < Input.SENT_END]
    assert {(state, given) for state in State for given in received} <= set(TABLE)


@pytest.mark.parametrize("given", Input)
@pytest.mark.parametrize("before", State)
def test_a_frame_does_what_the_table_says(before: State, given: Input) -> None:
    client = Client()
    BRING[before](client)
    client.take()
    client.frames.clear()
    client.events.clear()
    if before is not State.IDLE:
        client.events.append((-1,))
    assert state(client) is before
    GIVE[given](client)
    client.take()
    effect, after, code = TABLE.get((before, given), (Effect.IGNORE, before, ErrorCode.NO_ERROR))
    assert client.goaway == (code if effect is Effect.CONNECTION_ERROR else None)
    resets = [frame for frame in client.of(wire.RST_STREAM) if given is not Input.SENT_RST_STREAM]
    assert [frame.code for frame in resets] == ([code] if effect is Effect.STREAM_ERROR else [])
    events = [event[0] for event in client.events if event[0] >= 0]
    reported = before in (State.OPEN, State.HALF_CLOSED_REMOTE)
    if effect is Effect.OPEN:
        assert events == [REQUEST]
    elif effect is Effect.TRAILERS or (effect is Effect.ACCEPT and given in (Input.DATA, Input.DATA_END)):
        assert events == [DATA]
    elif effect is Effect.STREAM_ERROR or given is Input.RST_STREAM:
        assert events == ([RESET] if reported else [])
    else:
        assert events == []
    if effect is not Effect.CONNECTION_ERROR:
        assert state(client) is after


def test_frames_that_were_on_their_way_when_we_reset_are_tolerated_and_their_credit_given_back() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.connection.reset(1, ErrorCode.CANCEL)
    before = client.connection._room
    assert client.send(wire.data(1, b"x" * 100), wire.window_update(1, 5), wire.headers(1, FIELDS, end=True)) == []
    assert client.goaway is None
    assert client.connection._held == 0
    assert client.connection._room == before - 100, "a quarter of the window is not used up yet"


def test_after_its_last_frame_a_stream_that_we_reset_is_closed_as_any_other() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.connection.reset(1, ErrorCode.CANCEL)
    client.send(wire.data(1, end=True))
    assert client.goaway is None
    client.send(wire.data(1))
    assert client.goaway == ErrorCode.STREAM_CLOSED


def test_of_many_streams_that_we_reset_the_oldest_are_taken_for_such_and_no_memory_is_kept() -> None:
    client = Client()
    limit = client.connection._limits.remembered_resets
    for stream_id in range(1, 2 * limit + 11, 2):
        client.send(wire.headers(stream_id))
        client.connection.reset(stream_id, ErrorCode.CANCEL)
    assert len(client.connection._past._reset) == limit
    client.send(wire.data(1, b"late"), wire.data(2 * limit + 9, b"late"))
    assert client.goaway is None
