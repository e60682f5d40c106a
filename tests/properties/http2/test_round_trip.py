"""With h2's client as the peer: every message arrives whole in both directions, whatever the windows and the pieces,
and at the end no credit has been lost or made."""

from __future__ import annotations

from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import h2.settings
from fuzz.events import apart
from fuzz.http2 import check
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.http2 import DATA, REQUEST, Connection, HeaderList, Limits, Reply, encode

OK = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS = encode([(b"grpc-status", b"0")])
SIZES = st.sampled_from([0, 1, 5, 1_000, 16_384, 16_385, 70_000])


@dataclass(frozen=True, slots=True)
class Exchange:
    request: int
    answer: int
    in_parts: bool
    pad: int | None


EXCHANGES = st.lists(st.builds(Exchange, SIZES, SIZES, st.booleans(), st.none() | st.integers(0, 255)), max_size=6)


class Pair:
    def __init__(self, initial: int, limits: Limits) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self.client.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial}
        )
        self.server: Connection[bytes] = Connection(_path, limits)
        self.requests: dict[int, bytearray] = {}
        self.answers: dict[int, bytearray] = {}
        self.complete: list[int] = []
        self.ended: set[int] = set()
        self.left: dict[int, bytes] = {}
        self.client.initiate_connection()
        self.server.start()

    def pump(self, piece: int) -> bool:
        """Everything under way, both ways; whether anything was."""
        up = self.client.data_to_send()
        for start in range(0, len(up), piece):
            for event in apart(self.server.receive(up[start : start + piece])):
                self.above(event)
            check(self.server)
        down = self.server.output()
        for event in self.client.receive_data(down):
            self.below(event)
        for stream_id in list(self.left):
            self.upload(stream_id)
        return bool(up or down)

    def above(self, event: tuple[object, ...]) -> None:
        if event[0] == REQUEST:
            self.requests[event[1]] = bytearray()  # type: ignore[index]
            if event[3]:
                self.complete.append(event[1])  # type: ignore[arg-type]
        elif event[0] == DATA:
            self.requests[event[1]] += event[2]  # type: ignore[index,operator]
            self.server.consumed(event[1], len(event[2]))  # type: ignore[arg-type]
            if event[3]:
                self.complete.append(event[1])  # type: ignore[arg-type]

    def below(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.answers.setdefault(event.stream_id, bytearray()).extend(event.data)
            self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        else:
            assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)

    def upload(self, stream_id: int, pad: int | None = None) -> None:
        data = self.left.pop(stream_id)
        room = min(self.client.local_flow_control_window(stream_id), 16_384 - 256)
        if len(data) <= room:
            self.client.send_data(stream_id, data, end_stream=True)
            return
        if room > 0:
            self.client.send_data(stream_id, data[:room])
        self.left[stream_id] = data[max(room, 0) :]


@settings(max_examples=50)
@given(
    EXCHANGES,
    st.sampled_from([0, 1, 100, 65_535, 2**20]),
    st.sampled_from([7, 1_000, 10**6]),
    st.sampled_from([Limits(), Limits(stream_window=3_000, connection_window=70_000)]),
)
def test_every_message_arrives_whole(exchanges: list[Exchange], initial: int, piece: int, limits: Limits) -> None:
    pair = Pair(initial, limits)
    while pair.pump(10**6):
        pass
    answers: dict[int, Exchange] = {}
    for exchange in exchanges:
        stream_id = pair.client.get_next_available_stream_id()
        pair.client.send_headers(stream_id, _fields(stream_id))
        pair.left[stream_id] = bytes([stream_id]) * exchange.request
        answers[stream_id] = exchange
        pair.upload(stream_id)
    if initial < 100:
        pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1_000})
    done = 0
    while pair.pump(piece) or done < len(pair.complete):
        for stream_id in pair.complete[done:]:
            answer(pair.server, stream_id, answers[stream_id])
        done = len(pair.complete)
    assert pair.ended == set(answers)
    for stream_id, exchange in answers.items():
        assert pair.requests[stream_id] == bytes([stream_id]) * exchange.request
        assert pair.answers.get(stream_id, b"") == b"x" * exchange.answer
    assert pair.server.open_streams == 0
    assert pair.server._held == 0
    assert pair.client.outbound_flow_control_window == pair.server._room, "both sides count the same credit"
    assert pair.server.failed is None


def answer(server: Connection[bytes], stream_id: int, exchange: Exchange) -> None:
    if exchange.in_parts:
        server.send_headers(stream_id, OK)
        for start in range(0, exchange.answer, 9_999):
            server.send_data(stream_id, b"x" * min(9_999, exchange.answer - start))
        server.send_trailers(stream_id, TRAILERS)
    else:
        server.reply(stream_id, Reply.of(OK, b"x" * exchange.answer, TRAILERS))


def _fields(stream_id: int) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{stream_id}"),
        (":authority", "test"),
        ("te", "trailers"),
    ]


def _path(headers: HeaderList) -> bytes:
    return dict(headers)[b":path"]
