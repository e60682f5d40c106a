"""Any walk over one stream goes where the table says, the paths of `Connection` that do not look at it included."""

from __future__ import annotations

from fuzz import wire
from fuzz.client import ANSWER, Client
from hypothesis import given
from hypothesis import strategies as st

from sidecar.http2 import ErrorCode
from sidecar.http2.states import TABLE, Effect, Input, State

TRAILERS = [(b"a", b"b")]
REPORTED = (State.OPEN, State.HALF_CLOSED_REMOTE)


def give(client: Client, given: Input, opened: bool) -> None:
    fields = TRAILERS if opened else wire.REQUEST
    if given is Input.SENT_END:
        client.connection.reply(1, ANSWER)
        client.take()
    elif given is Input.SENT_RST_STREAM:
        client.connection.reset(1, ErrorCode.CANCEL)
        client.take()
    else:
        client.send(
            {
                Input.HEADERS: wire.headers(1, fields),
                Input.HEADERS_END: wire.headers(1, fields, end=True),
                Input.DATA: wire.data(1, b"x"),
                Input.DATA_END: wire.data(1, b"x", end=True),
                Input.RST_STREAM: wire.rst_stream(1),
                Input.WINDOW_UPDATE: wire.window_update(1, 1),
                Input.PRIORITY: wire.priority(1),
            }[given]
        )


@given(st.lists(st.sampled_from(Input), max_size=12), st.booleans())
def test_any_walk_goes_where_the_table_says(walk: list[Input], remembered: bool) -> None:
    client = Client()
    if remembered:  # the request's block is known, so that the fast path takes it
        client.connection._decoder.request(wire.literal(wire.REQUEST))
    state = State.IDLE
    for given_input in walk:
        if (state, given_input) not in TABLE:
            continue
        effect, following, code = TABLE[state, given_input]
        client.events.clear()
        client.frames.clear()
        give(client, given_input, state is not State.IDLE)
        if effect is Effect.CONNECTION_ERROR:
            assert client.goaway == code
            assert client.connection.failed == code
            return
        assert client.goaway is None
        if effect is Effect.STREAM_ERROR:
            assert client.resets == [(1, code)]
            assert len(client.events) == (state in REPORTED)
        stream = client.connection._streams.get(1)
        assert (stream.state if stream is not None else client.connection._past.state(1)) is following
        assert client.connection.open_streams == (following in (*REPORTED, State.HALF_CLOSED_LOCAL))
        state = following
