"""Connections that live at random, cut at a random moment: no task, timer or byte of theirs is left.

The transport here is one that stops taking bytes when it likes, which a socket does only under load.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from conformance import frames
from conformance.frames import ACK, END_HEADERS, END_STREAM, PREFACE, Setting, parse
from conformance.grpc import ONE, STREAM, UNARY, message, start
from conformance.legality import Legality
from conformance.peer import Peer
from conformance.steps import GET, block
from conformance.subject import Subject

MESSAGES = (b"wait", b"hold", b"fail", b"x", b"many 70000")
DATA = (b"", b"\0", bytes(5), message(b"hold"), message(b"abc") + b"\0\0", b"\1", message(b"wait") * 3)


class FickleTransport(asyncio.Transport):
    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._came = bytearray()
        self._legality = Legality()
        self.protocol: asyncio.Protocol
        self.full = False
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._came += data
        for frame in parse(self._came):
            self._legality.see(frame)
        if not self.full and self._dice.random() < 0.05:
            self.full = True
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.reads = False

    def abort(self) -> None:
        self.reads = False


class Life:
    """Frames in no sensible order, most of them right."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._peer = Peer()
        self._last = -1

    def frames(self) -> bytes:
        return b"".join(self._frame() for _ in range(self._dice.choice((1, 1, 1, 5, 300))))

    def _frame(self) -> bytes:
        dice = self._dice
        if self._last < 0 or dice.random() < 0.35:
            self._last += 2
            return self._request(self._last)
        stream = max(1, self._last - 2 * dice.choice((0, 0, 1, 2, 5)))
        match dice.randrange(7):
            case 0 | 1 | 2:
                return frames.data(stream, dice.choice(DATA), dice.choice((0, 0, END_STREAM)))
            case 3:
                return frames.rst_stream(stream)
            case 4:
                return frames.window_update(dice.choice((0, stream)), dice.choice((1, 5, 70_000)))
            case 5:
                return frames.ping(dice.choice((b"drained?", b"drained!")), ACK)
            case _ if dice.random() < 0.1:
                window = frames.settings([(Setting.INITIAL_WINDOW_SIZE, dice.choice((0, 10, 65_535)))])
                return dice.choice((window, frames.goaway(), dice.randbytes(12)))
        return b""

    def _request(self, stream: int) -> bytes:
        dice = self._dice
        if dice.random() < 0.1:
            return frames.headers(stream, block(self._peer, GET), END_HEADERS | dice.choice((0, END_STREAM)))
        path = dice.choice((UNARY, UNARY, ONE, STREAM, "/no"))
        timeout = [("grpc-timeout", dice.choice(("1n", "1m", "1S", "100H")))] if dice.random() < 0.3 else []
        head = start(self._peer, stream, path, *timeout)
        if dice.random() < 0.3:
            return head
        return head + frames.data(stream, message(dice.choice(MESSAGES)), dice.choice((0, END_STREAM)))


@pytest.mark.parametrize("seed", range(40))
async def test_nothing_is_left_of_a_connection(subject: Subject, seed: int) -> None:
    dice = random.Random(seed)
    life, transport, protocol = Life(dice), FickleTransport(dice), subject.server.protocol()
    transport.protocol = protocol
    timers = _timers()
    protocol.connection_made(transport)
    protocol.data_received(PREFACE + frames.settings([(Setting.INITIAL_WINDOW_SIZE, dice.choice((0, 5, 65_535)))]))
    protocol.data_received(frames.settings(flags=ACK))
    for _ in range(dice.choice((5, 30, 60))):
        if transport.reads:
            protocol.data_received(life.frames())
        if dice.random() < 0.5:
            await asyncio.sleep(0)
        if transport.full and dice.random() < 0.4:
            transport.full = False
            protocol.resume_writing()
        if dice.random() < 0.1:
            subject.echo.gate.set()
            await asyncio.sleep(0)
            subject.echo.gate.clear()
        if dice.random() < 0.01:
            subject.server.drain()
    protocol.connection_lost(None)
    for _ in range(8):  # cancelled handlers end
        await asyncio.sleep(0)
    assert (subject.server.tasks, subject.server.buffered, subject.server.connections) == (0, 0, 0)
    assert subject.echo.waiting == 0
    assert _timers() <= timers


def _timers() -> int:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # no public way to ask for them
    return sum(not handle.cancelled() for handle in scheduled)
