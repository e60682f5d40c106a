"""One streaming call, as its handler sees it: `async for message in call`, `await call.send(message)`.

A handler that has more to do than to answer takes what there is, and waits for whatever comes first:

    while not call.ended:
        while (message := call.take()) is not None: …
        await call.send(…)
        await call.wait(until)       # a message, the peer's end, `call.wake()`, or that time

Both directions hold back. The peer may send as much as its stream's window; that is given back when a message is taken,
and while the message that comes next is incomplete (a message may be larger than the window). `send` returns when all
that was sent has gone, through the peer's window and into its socket's buffer.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from sidecar.grpcfast.message import MessageReader
from sidecar.grpcfast.status import RpcError, Status


class Stream(Protocol):
    """Where a call's bytes go; of the connection."""

    def send(self, stream_id: int, message: bytes, first: bool) -> None:
        """A message, and the response headers before the first; written with the next flush."""

    def blocked(self, stream_id: int) -> bool:
        """Something sent has not gone yet."""

    def consumed(self, stream_id: int, size: int) -> None:
        """So much of the peer's window may be given back, with the next flush."""

    def flush(self) -> None:
        """Write what there is to write."""


class Call:
    """`receive`, `unblock` and `break_off` are the connection's; the rest is the handler's.

    When the peer resets the stream, or its connection is lost, the handler's task is cancelled, and in other tasks
    that use the call both directions raise RpcError(CANCELLED). The handler must wait for tasks that it started.
    """

    def __init__(self, stream: Stream, stream_id: int, reader: MessageReader) -> None:
        self._stream = stream
        self._id = stream_id
        self._reader = reader
        self._owed = 0  # bytes received and not yet given back to the peer's window
        self._ended = False
        self._gone = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self.headers_sent = False

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> bytes:
        """Raises RpcError when what came is no message, or the call is gone."""
        while (message := self.take()) is None:
            if self.ended:
                raise StopAsyncIteration
            await self.wait()
        return message

    @property
    def ended(self) -> bool:
        """The peer has ended its side, and all that it sent was taken."""
        return self._ended and not len(self._reader)

    @property
    def connection(self) -> object:
        """The same for all calls of one connection."""
        return self._stream

    def take(self) -> bytes | None:
        """The next message, if it is there. Raises RpcError when what came is no message, or the call is gone."""
        self._check()
        message = self._reader.take()
        if message is not None:
            self._give_back()
            self._stream.flush()
        elif self._ended and len(self._reader):
            raise RpcError(Status.INTERNAL, "the request ended inside a message")
        return message

    async def wait(self, until: float | None = None) -> None:
        """Until something has come since the last wait, `wake` was called, or the loop's time is `until`.

        Not at all when the peer has ended its side, and all that it sent was taken: nothing more comes then.
        """
        if self.ended:
            return
        alarm = None if until is None else asyncio.get_running_loop().call_at(until, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            if alarm is not None:
                alarm.cancel()
        self._arrived.clear()

    def wake(self) -> None:
        """There is something to do for the handler."""
        self._arrived.set()

    async def send(self, *messages: bytes) -> None:
        """In one write. Raises RpcError(CANCELLED) when the call is gone."""
        # Before too: else each of a thousand streams would add a message to a socket that nobody reads.
        await self._unblocked()
        for message in messages:
            self._stream.send(self._id, message, not self.headers_sent)
            self.headers_sent = True
        self._stream.flush()
        # A peer that reads fast must not keep the loop to itself, and one that is gone is not known to be before others
        # had their turn: what is written to a lost connection goes nowhere and blocks nobody.
        await asyncio.sleep(0)
        await self._unblocked()

    def receive(self, data: bytes, ended: bool) -> None:
        """Raises RpcError(RESOURCE_EXHAUSTED) when all calls together hold too much."""
        self._ended = ended
        self._owed += len(data)
        self._reader.feed(data)
        self._give_back()
        self._arrived.set()

    def unblock(self) -> None:
        """What was sent has gone, perhaps."""
        self._writable.set()

    def break_off(self) -> None:
        """Nothing comes or goes any more."""
        self._gone = True
        self._reader.close()
        self._arrived.set()
        self._writable.set()

    def _give_back(self) -> None:
        # What is held while a complete message waits for the handler stays owed.
        size = self._owed - len(self._reader) if self._reader.ready else self._owed
        if size > 0:
            self._owed -= size
            self._stream.consumed(self._id, size)

    async def _unblocked(self) -> None:
        while not self._gone and self._stream.blocked(self._id):
            self._writable.clear()
            await self._writable.wait()
        self._check()

    def _check(self) -> None:
        if self._gone:
            raise RpcError(Status.CANCELLED, "the call is gone")
