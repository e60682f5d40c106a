"""A raw client of the codec: sends any bytes, keeps what came back as frames. No sockets, no judgement."""

from __future__ import annotations

from typing import Any

import hpack
from fuzz import wire
from fuzz.events import apart
from fuzz.wire import Frame

from sidecar.http2 import LIMITS, Connection, HeaderList, Limits, Reply, encode

Headers = tuple[tuple[bytes, bytes], ...]

ANSWER = Reply.of(
    encode([(b":status", b"200"), (b"content-type", b"application/grpc")]),
    b"\x00\x00\x00\x00\x05hello",
    encode([(b"grpc-status", b"0")]),
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Client:
    """`events` and `frames` grow; `sent` gives what a call brought."""

    def __init__(self, limits: Limits = LIMITS, *, greet: bool = True) -> None:
        self.clock = Clock()
        self.connection: Connection[Headers] = Connection(_whole, limits, self.clock)
        self.events: list[tuple[Any, ...]] = []
        self.frames: list[Frame] = []
        self.decoder = hpack.Decoder()
        self.connection.start()
        self.take()
        if greet:
            self.send(wire.PREFACE, wire.settings(), wire.settings(ack=True))
            self.events.clear()

    def send(self, *parts: bytes) -> list[tuple[Any, ...]]:
        """In one read; returns the events."""
        events = list(apart(self.connection.receive(b"".join(parts))))
        self.events += events
        self.take()
        return events

    def take(self) -> list[Frame]:
        """What is in the output."""
        frames = list(wire.parse(self.connection.output()))
        self.frames += frames
        return frames

    def of(self, kind: int) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == kind]

    @property
    def goaway(self) -> int | None:
        """The code of the last GOAWAY, if one came."""
        frames = self.of(wire.GOAWAY)
        return frames[-1].code if frames else None

    @property
    def resets(self) -> list[tuple[int, int]]:
        return [(frame.stream_id, frame.code) for frame in self.of(wire.RST_STREAM)]

    def body(self, stream_id: int) -> bytes:
        return b"".join(frame.payload for frame in self.of(wire.DATA) if frame.stream_id == stream_id)


def _whole(headers: HeaderList) -> Headers:
    return tuple((name, value) for name, value in headers)
