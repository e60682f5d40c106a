"""Bytes of clients: good ones, careless ones and hostile ones, made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import hpack
from fuzz import wire
from fuzz.wire import Frame

IDS = (1, 1, 3, 3, 5, 7, 9, 11, 2, 0, 2**31 - 1)
NUMBERS = (0, 1, 2, 5, 100, 16_383, 16_384, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
FIELDS = (
    (b"te", b"trailers"),
    (b"te", b"deflate"),
    (b"content-length", b"3"),
    (b"connection", b"close"),
    (b"Upper", b"case"),
    (b"x", b"y" * 50),
    (b"x", b"\x00"),
    (b":path", b"/twice"),
    (b"host", b"test"),
    (b"grpc-timeout", b"500m"),
)
RAW_BLOCKS = (b"\x20", b"\x3f\xe1\x1f", b"\x3f\x09", b"\xbe", b"\xbf", b"\x80", b"\x40\x01a\x01b", b"\x00\x05ab", b"")


class Conversation:
    """Frames of one client, whose header compression is that of a real one unless it breaks it on purpose."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.encoder = hpack.Encoder()
        self.next = 1
        self.open: list[int] = []

    def bytes(self, count: int) -> bytes:
        random = self.random
        parts = [wire.PREFACE, self._settings()] if random.random() < 0.97 else []
        parts += [wire.settings(ack=True)] if random.random() < 0.8 else []
        self.encoder.header_table_size = random.choice((0, 100, 4_096, 4_096))
        hostile = random.choice((0.0, 0.0, 0.02, 0.2))
        for _ in range(count):
            parts.append(self._good() if random.random() >= hostile else random.choice(HOSTILE)(self))
        return b"".join(parts)

    def _good(self) -> bytes:
        random = self.random
        choice = random.random()
        if choice < 0.4 or not self.open:
            return self._request()
        stream_id = random.choice(self.open)
        if choice < 0.75:
            end = random.random() < 0.6
            if end:
                self.open.remove(stream_id)
            size = random.choice((0, 1, 5, 100, 1_000, 16_384))
            padding = random.choice((None, None, 0, 7)) if size < 16_000 else None
            return wire.data(stream_id, b"d" * size, end=end, padding=padding)
        if choice < 0.8:
            self.open.remove(stream_id)
            return wire.rst_stream(stream_id)
        if choice < 0.85:
            return wire.window_update(random.choice((0, stream_id)), random.choice((1, 100, 10_000)))
        if choice < 0.9:
            return wire.ping(random.randbytes(8), ack=random.random() < 0.2)
        if choice < 0.95:
            self.open.remove(stream_id)
            return self._headers(stream_id, self.encoder.encode([(b"a", b"b")]), wire.END_STREAM)
        return self._settings()

    def _request(self) -> bytes:
        random = self.random
        stream_id = self.next
        self.next += random.choice((2, 2, 2, 2, 4))
        flags = wire.END_STREAM if random.random() < 0.2 else 0
        if not flags:
            self.open.append(stream_id)
        fields = list(wire.REQUEST)
        while random.random() < 0.1:
            fields.insert(random.randrange(len(fields) + 1), random.choice(FIELDS))
        if random.random() < 0.05:
            self.encoder.header_table_size = random.choice((0, 50, 200, 4_096))
        return self._headers(stream_id, self.encoder.encode(fields), flags)

    def _headers(self, stream_id: int, block: bytes, flags: int) -> bytes:
        random = self.random
        parts = [block]
        while random.random() < 0.1:
            cut = random.randrange(len(parts[-1]) + 1)
            parts[-1:] = [parts[-1][:cut], parts[-1][cut:]]
        first = parts[0]
        if random.random() < 0.05:
            flags |= wire.PRIORITIZED
            first = random.choice((0, 1, stream_id)).to_bytes(4, "big") + b"\x10" + first
        if random.random() < 0.05:
            flags |= wire.PADDED
            first = b"\x02" + first + b"\x00\x00"
        out = [wire.frame(wire.HEADERS, flags | (wire.END_HEADERS if len(parts) == 1 else 0), stream_id, first)]
        for number, part in enumerate(parts[1:], 2):
            out.append(wire.frame(wire.CONTINUATION, wire.END_HEADERS if number == len(parts) else 0, stream_id, part))
        return b"".join(out)

    def _settings(self) -> bytes:
        random = self.random
        values = {
            1: (0, 100, 4_096),
            2: (0, 1),
            3: NUMBERS,
            4: (0, 1, 100, 65_535, 2**20),
            5: (16_384, 2**24 - 1),
            9: NUMBERS,
        }
        names = random.sample(sorted(values), random.randrange(4))
        return wire.settings(*((name, random.choice(values[name])) for name in names))

    # Hostile

    def _any_frame(self) -> bytes:
        random = self.random
        size = random.choice((0, 1, 3, 4, 5, 6, 8, 9, 20))
        return wire.frame(random.randrange(11), random.randrange(256), random.choice(IDS), random.randbytes(size))

    def _any_settings(self) -> bytes:
        random = self.random
        return wire.settings(*((random.randrange(10), random.choice(NUMBERS)) for _ in range(random.randrange(4))))

    def _any_update(self) -> bytes:
        return wire.window_update(self.random.choice(IDS), self.random.choice(NUMBERS) % 2**32)

    def _any_data(self) -> bytes:
        random = self.random
        return wire.frame(
            wire.DATA, random.choice((0, 1, 8, 9)), random.choice(IDS), random.randbytes(random.randrange(9))
        )

    def _long_data(self) -> bytes:
        """A request and its DATA in one go, which may be longer than a frame is allowed to be."""
        request = self._request()
        stream_id = self.open[-1] if self.open else 1
        return request + wire.data(stream_id, bytes(self.random.choice((16_384, 16_385, 65_535))), end=True)

    def _any_block(self) -> bytes:
        random = self.random
        pieces = [wire.literal(wire.REQUEST), *random.choices(RAW_BLOCKS, k=random.randrange(4))]
        random.shuffle(pieces)
        flags = random.choice((0, wire.END_STREAM)) | (wire.END_HEADERS if random.random() < 0.8 else 0)
        return wire.frame(wire.HEADERS, flags, random.choice((*IDS, self.next)), b"".join(pieces))

    def _repeat(self) -> bytes:
        return random_frame(self.random) * self.random.choice((2, 30))

    def _half_frame(self) -> bytes:
        frame = self._any_frame()
        return frame[: self.random.randrange(len(frame))]


def random_frame(random: Random) -> bytes:
    return random.choice(
        (wire.ping(), wire.settings(), wire.priority(3), wire.rst_stream(1), wire.window_update(0, 1), wire.data(1))
    )


HOSTILE: Sequence[Callable[[Conversation], bytes]] = (
    Conversation._any_frame,
    Conversation._any_settings,
    Conversation._any_update,
    Conversation._any_data,
    Conversation._long_data,
    Conversation._any_block,
    Conversation._repeat,
    Conversation._half_frame,
)


def mutate(random: Random, data: bytes) -> bytes:
    """A few bytes or frames changed, dropped, doubled or moved."""
    out = bytearray(data)
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        if not out:
            break
        at = random.randrange(len(out))
        choice = random.randrange(6)
        if choice == 0:
            out[at] ^= 1 << random.randrange(8)
        elif choice == 1:
            out[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif choice == 2:
            del out[at : at + random.choice((1, 1, 4, 9))]
        elif choice == 3:
            out[at:at] = random.randbytes(random.choice((1, 4, 9)))
        else:
            _move_a_frame(random, out)
    return bytes(out)


def _move_a_frame(random: Random, out: bytearray) -> None:
    frames = split(bytes(out))
    if len(frames) > 2:
        one = random.choice(frames)
        frames.insert(random.randrange(len(frames) + 1), one)
        if random.random() < 0.5:
            frames.remove(one)
        out[:] = b"".join(frames)


def split(data: bytes) -> list[bytes]:
    """The preface and the frames as they claim to be, the last perhaps not whole."""
    parts = [data[: len(wire.PREFACE)]]
    position = len(wire.PREFACE)
    while position < len(data):
        size = 9 + int.from_bytes(data[position : position + 3], "big")
        parts.append(data[position : position + size])
        position += size
    return parts


def whole(part: bytes) -> Frame | None:
    """One part of `split` as a frame; None if it is not whole."""
    if len(part) < 9 or len(part) != 9 + int.from_bytes(part[:3], "big"):
        return None
    return Frame(part[3], part[4], int.from_bytes(part[5:9], "big") & 0x7FFFFFFF, part[9:])
