"""Length-prefixed messages: a byte that says whether it is compressed, four bytes of length, the message.

PROTOCOL-HTTP2, "Length-Prefixed-Message". Bytes come split anywhere; nothing is copied more than twice, however large
a message is and however small its pieces are. Compression: https://github.com/grpc/grpc/blob/master/doc/compression.md
"""

from __future__ import annotations

from typing import Final

from sidecar.grpcfast.status import RpcError, Status

PREFIX: Final = 5
IDENTITY: Final = b"identity"


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Buffered:
    """How many bytes all readers that share it hold, and may hold."""

    __slots__ = ("_limit", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def add(self, size: int) -> None:
        """Raises RpcError(RESOURCE_EXHAUSTED); counted all the same, until `remove`."""
        self.held += size
        if self.held > self._limit:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "the server holds too many unread messages")

    def remove(self, size: int) -> None:
        self.held -= size


class MessageReader:
    """One call's requests. `feed`, then `take` until None; `close` when nothing more will be taken."""

    __slots__ = ("_buffer", "_buffered", "_encoding", "_end", "_error", "_limit")

    def __init__(self, limit: int, encoding: bytes, buffered: Buffered) -> None:
        """`limit`: bytes of one message. `encoding`: the header grpc-encoding, IDENTITY without."""
        self._limit = limit
        self._encoding = encoding
        self._buffered = buffered
        self._buffer = bytearray()
        self._end = 0  # of the first message in the buffer; 0 while its prefix is incomplete
        self._error: RpcError | None = None

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    @property
    def ready(self) -> bool:
        """`take` has something to return, or to raise."""
        return 0 < self._end <= len(self._buffer) or self._error is not None

    def feed(self, data: bytes) -> None:
        """Raises RpcError(RESOURCE_EXHAUSTED) when all calls together hold too much."""
        self._buffer += data
        if not self._end:
            self._read_prefix()
        self._buffered.add(len(data))

    def take(self) -> bytes | None:
        """The next message; None if it is incomplete.

        Raises RpcError as soon as the message's prefix is there: RESOURCE_EXHAUSTED for one that is too large, and for
        a compressed one UNIMPLEMENTED or INTERNAL.
        """
        if self._error is not None:
            raise self._error
        end = self._end
        buffer = self._buffer
        if not 0 < end <= len(buffer):
            return None
        with memoryview(buffer) as view:
            message = bytes(view[PREFIX:end])
        del buffer[:end]
        self._buffered.remove(end)
        self._end = 0
        self._read_prefix()
        return message

    def close(self) -> None:
        self._buffered.remove(len(self._buffer))
        self._buffer = bytearray()
        self._end = 0

    def _read_prefix(self) -> None:
        buffer = self._buffer
        if len(buffer) < PREFIX or self._error is not None:
            return
        length = int.from_bytes(buffer[1:PREFIX], "big")
        if buffer[0]:
            self._error = self._compressed(buffer[0])
        elif length > self._limit:
            self._error = RpcError(
                Status.RESOURCE_EXHAUSTED, f"a message of {length} bytes, where {self._limit} is the most"
            )
        else:
            self._end = PREFIX + length

    def _compressed(self, flag: int) -> RpcError:
        if flag > 1:
            return RpcError(Status.INTERNAL, f"a message begins with {flag}, not with 0 or 1")
        if self._encoding == IDENTITY:
            return RpcError(Status.INTERNAL, "a message is compressed, but no grpc-encoding says how")
        return RpcError(Status.UNIMPLEMENTED, "compressed messages are not read")


class OneMessage:
    """The request of a call that has just one message. `feed` until it returns it, or raises RpcError; then `close`."""

    __slots__ = ("_early", "_message", "_reader")

    def __init__(self, reader: MessageReader, early: bool) -> None:
        """`early`: do not wait for the end of the stream, nor look at what comes after the message."""
        self._reader = reader
        self._early = early
        self._message: bytes | None = None

    def feed(self, data: bytes, ended: bool) -> bytes | None:
        reader = self._reader
        reader.feed(data)
        if self._message is None:
            self._message = reader.take()
        if self._message is not None:
            if self._early:
                return self._message
            if len(reader):
                raise RpcError(Status.INTERNAL, "a second message in a call that has one")
        if not ended:
            return None
        if self._message is None:
            how = "inside its message" if len(reader) else "without a message"
            raise RpcError(Status.INTERNAL, f"the request ended {how}")
        return self._message

    def close(self) -> None:
        self._reader.close()
