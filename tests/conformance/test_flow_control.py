"""The server's DATA stays within the windows that the peer gave, whatever it does with them, and all of it arrives."""

from __future__ import annotations

import random

import pytest
from conformance import frames
from conformance.frames import ACK, END_STREAM, LARGEST, Frame, Setting, Type
from conformance.grpc import ONE, STREAM, UNARY, message, start
from conformance.peer import Peer


class Windows:
    """What the server may still send, by the rules of RFC 9113 6.9; they can be negative."""

    def __init__(self) -> None:
        self.connection = 65_535
        self.initial = 65_535
        self.streams: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def open(self, stream: int) -> None:
        self.streams[stream] = self.initial
        self.bodies[stream] = b""

    def set_initial(self, size: int) -> None:
        for stream in self.streams:
            self.streams[stream] += size - self.initial
        self.initial = size

    def see(self, frame: Frame) -> None:
        assert frame.type != Type.GOAWAY, f"{frame}"
        if frame.type == Type.DATA:
            size = len(frame.payload)
            assert frame.stream not in self.ended
            assert size <= max(self.connection, 0), "more than the connection's window"
            assert size <= max(self.streams[frame.stream], 0), "more than the stream's window"
            self.connection -= size
            self.streams[frame.stream] -= size
            self.bodies[frame.stream] += frame.payload
        if frame.ends_stream:
            self.ended.add(frame.stream)

    def stalled(self) -> list[int]:
        """Streams that the server has no reason not to go on with."""
        return [s for s, room in self.streams.items() if s not in self.ended and room > 0 and self.connection > 0]


@pytest.mark.parametrize("seed", range(40))
async def test_windows_are_kept_and_everything_arrives(peer: Peer, seed: int) -> None:
    dice = random.Random(seed)
    windows = Windows()
    bodies: dict[int, bytes] = {}
    following = iter(range(1, 2**20, 2))

    def ask() -> bytes:
        stream, size = next(following), dice.choice((0, 1, 5, 100, 16_384, 40_000))
        path = dice.choice((UNARY, ONE, STREAM))
        body = dice.randbytes(size) if path == STREAM else b"many %d" % size
        bodies[stream] = message(body if path == STREAM else b"x" * size)
        windows.open(stream)
        whole = message(body)
        cut = [frames.data(stream, whole[at : at + 16_384]) for at in range(0, len(whole), 16_384)]
        return b"".join((start(peer, stream, path), *cut, frames.data(stream, b"", END_STREAM)))

    def change() -> bytes:
        match dice.randrange(5):
            case 0:
                size = dice.choice((0, 0, 1, 7, 1000, 65_535))
                windows.set_initial(size)
                return frames.settings([(Setting.INITIAL_WINDOW_SIZE, size)])
            case 1:
                increment = dice.choice((1, 2, 50, 20_000))
                windows.connection += increment
                return frames.window_update(0, increment)
            case 2 | 3 if windows.streams:
                stream, increment = dice.choice(list(windows.streams)), dice.choice((1, 3, 50, 20_000))
                windows.streams[stream] += increment
                return frames.window_update(stream, increment)
            case _:
                return ask()

    for _ in range(60):
        # A larger window holds as soon as we have said it, a smaller one from the acknowledgement on: so one at a time.
        before = dict(windows.streams), windows.initial
        sent = change()
        smaller = windows.initial < before[1]
        if smaller:
            after = windows.initial
            windows.set_initial(before[1])
            peer.send(sent)
            while (frame := await peer.until(lambda frame: True)).type != Type.SETTINGS or not frame.flags & ACK:
                windows.see(frame)
            windows.set_initial(after)
        else:
            peer.send(sent)
        for _ in range(20):  # the handler of a stream is a task, which comes after the answer to our PING
            for frame in await peer.settle():
                windows.see(frame)
            if not windows.stalled():
                break
        assert not windows.stalled(), "there is room, and nothing comes"

    while len(windows.ended) < len(windows.streams):
        left = [stream for stream in windows.streams if stream not in windows.ended]
        for stream in left:
            windows.streams[stream] += 100_000
        windows.connection += 200_000
        peer.send(*(frames.window_update(stream, 100_000) for stream in left), frames.window_update(0, 200_000))
        for frame in await peer.settle():
            windows.see(frame)
    assert windows.bodies == bodies


async def test_windows_may_be_as_large_as_there_are(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, LARGEST)]), frames.window_update(0, LARGEST - 65_535))
    peer.send(start(peer, 1), frames.data(1, message(b"many 3000000"), END_STREAM))
    size = 0
    while not (frame := await peer.until(lambda frame: frame.stream == 1)).ends_stream:
        assert len(frame.payload) <= 16_384, "above the MAX_FRAME_SIZE that holds unless we say otherwise"
        size += len(frame.payload) if frame.type == Type.DATA else 0
    assert size == 3_000_005


async def test_one_stream_without_a_window_does_not_hold_back_another(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 0)]))
    await peer.until(lambda frame: frame.type == Type.SETTINGS)
    for stream in (1, 3, 5):
        peer.send(start(peer, stream), frames.data(stream, message(b"hello"), END_STREAM))
    peer.send(frames.window_update(3, 10))
    frame = await peer.until(lambda frame: frame.ends_stream)
    assert frame.stream == 3


async def test_streams_share_the_connection_window(peer: Peer) -> None:
    """A long answer that takes the whole window does not keep it from a short one for ever."""
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, LARGEST)]))
    await peer.settle()
    for stream, size in ((1, 1_000_000), (3, 10_000), (5, 1_000_000)):
        peer.send(start(peer, stream), frames.data(stream, message(b"many %d" % size), END_STREAM))
    await peer.settle()
    for _ in range(30):
        peer.send(frames.window_update(0, 16_384))
        if any(frame.stream == 3 and frame.ends_stream for frame in await peer.settle()):
            return
    raise AssertionError("the short answer waits for the long ones")
