"""A client on a socket that sends what it is told, and remembers every frame that came back.

Of itself it does one thing: it answers PING, which a server may use to learn that its GOAWAY was read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self, cast

import hpack
from conformance.frames import ACK, PREFACE, Frame, Setting, Type, parse, ping, settings
from conformance.legality import Legality

TIMEOUT = 5.0 * float(os.environ.get("NAMEPLATE_TEST_TIME_SCALE", "1"))
"""Seconds for one answer."""

Fields = list[tuple[str, str]]


class Peer(asyncio.Protocol):
    """`encoder` and `decoder` are the hpack library's, with the dynamic tables of one real connection."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed = False
        self.lost: Exception | None = None
        """Why, if the connection did not end as it should."""
        self.illegal: AssertionError | None = None
        self._legality = Legality()
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 2**32  # what we announce varies; the server is not on trial for it
        self.settings: dict[int, int] = {}
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self._seen = 0
        self._pings = 0
        self._transport: asyncio.Transport

    # --- the socket

    @classmethod
    async def connect(cls, path: Path) -> Self:
        _, peer = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        return peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, chunk: bytes) -> None:
        self._buffer += chunk
        came = parse(self._buffer)
        for frame in came:
            if self.illegal is None:
                try:
                    self._legality.see(frame)
                except AssertionError as problem:
                    self.illegal = problem
            if frame.type == Type.PING and not frame.flags & ACK:
                self.send(ping(frame.payload, ACK))
        self.frames += came
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.lost = exc
        self._changed.set()

    def send(self, *parts: bytes) -> None:
        self._transport.write(b"".join(parts))

    def stop_reading(self) -> None:
        self._transport.pause_reading()

    def go_on_reading(self) -> None:
        self._transport.resume_reading()

    @property
    def unsent(self) -> int:
        """Bytes that the server has not taken from the socket."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """AssertionError if anything came that no server may send."""
        if not self.closed:
            self._transport.abort()
        if self.illegal is not None:
            raise self.illegal

    # --- what comes back

    async def frame(self, timeout: float | None = None) -> Frame | None:
        """The next frame, or None when the connection has ended. TimeoutError when neither comes."""
        async with asyncio.timeout(timeout or TIMEOUT):
            while self._seen == len(self.frames):
                if self.illegal is not None:
                    raise self.illegal
                if self.closed:
                    return None
                self._changed.clear()
                await self._changed.wait()
        self._seen += 1
        return self.frames[self._seen - 1]

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The next frame that fits, passing over others. AssertionError when the connection ends before it."""
        passed = []
        try:
            while (frame := await self.frame()) is not None:
                if wanted(frame):
                    return frame
                passed.append(frame)
        except TimeoutError:
            raise AssertionError(f"it did not come; these came: {passed}") from None
        raise AssertionError(f"the connection ended; these came: {passed}")

    async def until_closed(self) -> list[Frame]:
        """All frames up to the end of the connection."""
        passed = []
        try:
            while (frame := await self.frame()) is not None:
                passed.append(frame)
        except TimeoutError:
            raise AssertionError(f"the connection stayed open; these came: {passed}") from None
        return passed

    async def settle(self) -> list[Frame]:
        """All frames up to the answer to a PING sent now: what the server had to say so far."""
        self._pings += 1
        payload = b"settle" + self._pings.to_bytes(2, "big")
        self.send(ping(payload))
        start = self._seen
        await self.until(lambda frame: frame.type == Type.PING and bool(frame.flags & ACK) and frame.payload == payload)
        return self.frames[start : self._seen - 1]

    async def handshake(self, values: Iterable[tuple[int, int]] = ()) -> None:
        """Prefaces and acknowledgements of both sides."""
        self.send(PREFACE, settings(values))
        theirs = await self.frame()
        assert theirs is not None, "the server closed instead of sending its preface"
        assert theirs.type == Type.SETTINGS, f"the server's first frame is {theirs}"
        assert not theirs.flags & ACK, "the server's first frame acknowledges ours"
        self.settings = settings_of(theirs)
        if Setting.HEADER_TABLE_SIZE in self.settings:
            self.encoder.header_table_size = min(self.settings[Setting.HEADER_TABLE_SIZE], 4096)
        self.send(settings(flags=ACK))
        await self.until(lambda frame: frame.type == Type.SETTINGS and bool(frame.flags & ACK))

    def fields(self, frame: Frame) -> Fields:
        """The header list of a HEADERS frame without padding. To be called for each of them, in order."""
        return [(_text(name), _text(value)) for name, value in self.decoder.decode(frame.payload)]


def settings_of(frame: Frame) -> dict[int, int]:
    pairs = (frame.payload[start : start + 6] for start in range(0, len(frame.payload), 6))
    return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
