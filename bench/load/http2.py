"""Just enough of an HTTP/2 client (RFC 9113) for unary gRPC: frames made by hand, answers told apart, nothing else.

Requests are stateless header blocks, made once. Of an answer only its end and its message are looked at: HPACK is not
decoded, so the message, and not grpc-status, says whether it went well.
"""

from __future__ import annotations

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_SIZE = 9
LARGEST = 2**31 - 1
DEFAULT_WINDOW = 65_535
TOP_UP = 2**30
SETTINGS_INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Http2Client:
    """Bytes in, finished streams out. `authority`, `path` and `deadline` (b"": none) are those of every request."""

    def __init__(self, authority: str, path: bytes, deadline: bytes = b"10S") -> None:
        encoder = hpack.Encoder()
        encoder.header_table_size = 0
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        if deadline:
            headers.append((b"grpc-timeout", deadline))
        block = encoder.encode(headers, huffman=False)
        self._headers = len(block).to_bytes(3, "big") + bytes((HEADERS, END_HEADERS))
        self._block = block
        self._next = 1
        self._in = bytearray()
        self._messages: dict[int, bytes] = {}
        self._unacknowledged = 0
        self.send_window = DEFAULT_WINDOW
        self.going_away = False
        window = SETTINGS_INITIAL_WINDOW_SIZE.to_bytes(2, "big") + LARGEST.to_bytes(4, "big")
        grant = (LARGEST - DEFAULT_WINDOW).to_bytes(4, "big")
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, window) + frame(WINDOW_UPDATE, 0, 0, grant))

    def request(self, message: bytes) -> int:
        """Queue a request, given with its length prefix. Returns its stream."""
        stream = self._next
        self._next += 2
        identifier = stream.to_bytes(4, "big")
        self.out += self._headers + identifier + self._block
        self.out += len(message).to_bytes(3, "big") + bytes((DATA, END_STREAM)) + identifier + message
        self.send_window -= len(message)
        return stream

    def open(self) -> int:
        """Queue a call whose messages are written one by one. Returns its stream."""
        stream = self._next
        self._next += 2
        self.out += self._headers + stream.to_bytes(4, "big") + self._block
        return stream

    def write(self, stream: int, message: bytes) -> None:
        """Queue a message of a call that is open, given with its length prefix; at most a frame of it (16 KB)."""
        self.out += frame(DATA, 0, stream, message)
        self.send_window -= len(message)

    def take(self, stream: int) -> bytes:
        """What has come of a call that has not ended, since the last time."""
        return self._messages.pop(stream, b"")

    def receive(self, data: bytes) -> list[tuple[int, bytes | None]]:
        """(stream, message with its length prefix; None if it was reset or had none) of each stream that ended."""
        ended: list[tuple[int, bytes | None]] = []
        self._in += data
        received, messages = self._in, self._messages
        position, end = 0, len(received)
        while end - position >= HEADER_SIZE:
            length = received[position] << 16 | received[position + 1] << 8 | received[position + 2]
            body = position + HEADER_SIZE
            if end < body + length:
                break
            kind, flags = received[position + 3], received[position + 4]
            stream = int.from_bytes(received[position + 5 : body], "big")
            position = body + length
            if kind == DATA:
                self._unacknowledged += length
                messages[stream] = messages.get(stream, b"") + bytes(received[body:position])
            elif kind == HEADERS:
                if not flags & END_STREAM:
                    continue
            elif kind == RST_STREAM:
                messages.pop(stream, None)
                ended.append((stream, None))
                continue
            else:
                self._control(kind, flags, stream, bytes(received[body:position]))
                continue
            if flags & END_STREAM:
                ended.append((stream, messages.pop(stream, None)))
        del received[:position]
        if self._unacknowledged > TOP_UP:
            self.out += frame(WINDOW_UPDATE, 0, 0, self._unacknowledged.to_bytes(4, "big"))
            self._unacknowledged = 0
        return ended

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.out += frame(SETTINGS, ACK, 0, b"")
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            self.going_away = True
        elif kind == WINDOW_UPDATE and stream == 0:
            self.send_window += int.from_bytes(payload, "big")
