"""Whatever frames come in whatever order, split anywhere, while handlers end when they like and the transport stalls:
nothing is raised, no stream is answered twice, each call that can end does, and nothing is left in the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hpack import Decoder, Encoder
from hyperframe import frame as frames
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.grpcfast import LIMITS, Call, OneAnswer, Reply, RpcError, Status, Streaming, Unary, reply
from sidecar.grpcfast.message import frame
from sidecar.grpcfast.protocol import GrpcProtocol
from sidecar.grpcfast.service import Service

PATHS = ["/Echo", "/Later", "/One", "/OneLater", "/Refuse", "/Stream", "/Unknown"]


def echo(message: bytes) -> Reply:
    return reply(message)


async def later(message: bytes) -> Reply:
    for _ in range(len(message) % 4):
        await asyncio.sleep(0)
    return reply(message)


def refuse(message: bytes) -> Reply:
    raise RpcError(Status.NOT_FOUND, message.hex())


async def stream(call: Call) -> None:
    async for message in call:
        await call.send(message)
        if message == b"enough":
            raise RpcError(Status.ABORTED, "")


METHODS = {
    "/Echo": Unary(echo, max_message=100),
    "/Later": Unary(later),
    "/One": OneAnswer(echo),
    "/OneLater": OneAnswer(later),
    "/Refuse": Unary(refuse),
    "/Stream": Streaming(stream),
}

# By name, so that an example can be printed.
MESSAGES = {
    "nothing": b"",
    "a": b"a",
    "enough": b"enough",
    "just allowed": bytes(100),
    "too long": bytes(101),
    "two frames": bytes(20_000),
}


def content(body: str | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    whole = frame(MESSAGES[body.removeprefix("half of ")])
    return whole[: len(whole) // 2] if body.startswith("half") else whole


number = st.integers(0, 5)
message = st.sampled_from(sorted(MESSAGES))
body = st.one_of(message, message.map("half of {}".format), st.binary(max_size=9))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(PATHS[:6]), message),
        st.tuples(st.just("open"), st.sampled_from(PATHS), st.booleans()),
        st.tuples(st.just("open"), st.just("GET"), st.booleans()),
        st.tuples(st.just("data"), number, body, st.booleans()),
        st.tuples(st.just("reset"), number),
        st.tuples(st.just("room"), number, st.integers(1, 70_000)),
        st.tuples(st.just("window"), st.sampled_from([0, 3, 70_000])),
        st.tuples(st.just("drain")),
        st.tuples(st.just("pause")),
        st.tuples(st.just("resume")),
        st.tuples(st.just("turn"), st.integers(1, 3)),
    ),
    max_size=25,
)
sizes = st.lists(st.integers(1, 300), max_size=10)


class Recorder(asyncio.Transport):
    """Keeps what is written; stalls when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.ended
        assert data
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    close = abort = write_eof


class Peer:
    """Writes what the steps say, as far as a client may know what it does."""

    def __init__(self, pieces: Sequence[int]) -> None:
        self.service = Service(METHODS, LIMITS)
        self.transport = Recorder()
        self.protocol = GrpcProtocol(self.service)
        self.streams: list[int] = []
        self.paused = False
        self.whole: list[int] = []  # echo calls that were sent as they should be
        self._encoder = Encoder()
        self._pieces = list(pieces)
        self._waiting = b""

    def send(self, data: bytes) -> None:
        """Split, and only while the server reads."""
        self._waiting += data
        while self._waiting and self.transport.reading:
            size = self._pieces.pop() if self._pieces else len(self._waiting)
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            self.protocol.data_received(piece)

    def open(self, path: str, ended: bool) -> int:
        stream_id = 2 * len(self.streams) + 1
        self.streams.append(stream_id)
        fields = [(":method", "GET" if path == "GET" else "POST"), (":scheme", "http"), (":authority", "t")]
        fields += [(":path", path if path != "GET" else "/"), ("content-type", "application/grpc"), ("te", "trailers")]
        headers = frames.HeadersFrame(stream_id, self._encoder.encode(fields))
        headers.flags.add("END_HEADERS")
        if ended:
            headers.flags.add("END_STREAM")
        self.send(headers.serialize())
        return stream_id

    def data(self, stream_id: int, data: bytes, ended: bool) -> None:
        parts = [data[start : start + 16_384] for start in range(0, len(data), 16_384)] or [b""]
        for place, part in enumerate(parts, start=1):
            piece = frames.DataFrame(stream_id, part)
            if ended and place == len(parts):
                piece.flags.add("END_STREAM")
            self.send(piece.serialize())

    async def step(self, step: tuple[Any, ...]) -> None:
        match step:
            case "call", path, message:
                stream_id = self.open(path, ended=False)
                self.data(stream_id, content(message), ended=True)
                self.whole.append(stream_id)
            case "open", path, ended:
                self.open(path, ended)
            case "data", place, body, ended if place < len(self.streams):
                self.whole = [stream_id for stream_id in self.whole if stream_id != self.streams[place]]
                self.data(self.streams[place], content(body), ended)
            case "reset", place if place < len(self.streams):
                self.whole = [stream_id for stream_id in self.whole if stream_id != self.streams[place]]
                self.send(frames.RstStreamFrame(self.streams[place], 8).serialize())
            case "room", place, size:
                self.send(
                    frames.WindowUpdateFrame((0, *self.streams)[place % (len(self.streams) + 1)], size).serialize()
                )
            case "window", size:
                self.send(frames.SettingsFrame(0, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: size}).serialize())
            case ("drain",):
                self.protocol.drain()
            case ("pause",) if not self.paused:
                self.paused = True
                self.protocol.pause_writing()
            case ("resume",) if self.paused:
                self.resume()
            case "turn", count:
                for _ in range(count):
                    await asyncio.sleep(0)

    def resume(self) -> None:
        self.paused = False
        self.protocol.resume_writing()
        self.send(b"")


def check(written: bytes) -> tuple[set[int], bool]:
    """Streams that were answered whole, and whether the server ended the connection for an error."""
    decoder = Decoder()
    seen: defaultdict[int, list[str]] = defaultdict(list)
    failed = False
    rest = memoryview(written)
    while rest:
        found, length = frames.Frame.parse_frame_header(rest[:9])
        found.parse_body(rest[9 : 9 + length])
        rest = rest[9 + length :]
        past = seen[found.stream_id]
        match found:
            case frames.HeadersFrame():
                fields = dict(decoder.decode(found.data))
                past.append("headers" if ":status" in fields else "trailers")
                assert past in (["headers"], ["headers", *["data"] * (len(past) - 2), "trailers"])
            case frames.DataFrame():
                past.append("data")
                assert past[0] == "headers"
                assert not {"trailers", "end", "reset"} & set(past)
            case frames.RstStreamFrame():
                assert "reset" not in past
                past.append("reset")
            case frames.GoAwayFrame():
                failed |= found.error_code != 0
        if "END_STREAM" in found.flags:
            assert "end" not in past
            past.append("end")
    return {stream_id for stream_id, past in seen.items() if "end" in past}, failed


async def play(script: list[tuple[Any, ...]], pieces: list[int]) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    peer = Peer(pieces)
    peer.protocol.connection_made(peer.transport)
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize())
    for step in script:
        await peer.step(step)
    if peer.paused:
        peer.resume()
    peer.send(frames.SettingsFrame(0, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 2**30}).serialize())
    peer.send(frames.WindowUpdateFrame(0, 2**30).serialize())
    for _ in range(10):
        await asyncio.sleep(0)
    answered, failed = check(bytes(peer.transport.written))
    if not failed:
        assert set(peer.whole) <= answered
    peer.protocol.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert complaints == []
    assert (len(peer.service.tasks), peer.service.buffered.held, len(peer.service.connections)) == (0, 0, 0)


@settings(max_examples=300)
@given(steps, sizes)
def test_any_frames_in_any_order_leave_nothing_unanswered_and_nothing_behind(
    script: list[tuple[Any, ...]], pieces: list[int]
) -> None:
    asyncio.run(play(script, pieces))
