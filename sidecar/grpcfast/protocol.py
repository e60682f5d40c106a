"""The asyncio shell of one connection: bytes between the transport and the codec, and the end of silent peers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from sidecar.grpcfast.calls import Calls
from sidecar.grpcfast.request import Asked
from sidecar.grpcfast.service import Service
from sidecar.http2 import Connection, Event

# Events of one read, at most an answer each, that are handled before anything is written: more than Envoy has at once.
BATCH: Final = 128
PING: Final = b"quiet?  "


class GrpcProtocol(asyncio.Protocol):
    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connection: Connection[Asked] = Connection(service.reader.read)
        self._calls = Calls(self._connection, service, self._flush)
        self._heard = False
        self._pinged = False
        self._ending = False
        self._waiting: Sequence[Event[Asked]] = ()

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._service.joined(self)
        self._timer = self._later(self._service.limits.preface, self._expect_preface)
        if self._service.closing:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._service.limits.unread)
        self._connection.start()
        if self._service.draining:
            self._connection.drain()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        events = self._connection.receive(data)
        if self._waiting or len(events) > BATCH:
            self._waiting = [*self._waiting, *events]
            self._handle_waiting()
        else:
            self._calls.handle(events)
            self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self._timer.cancel()
        self._ending = True
        self._calls.close()
        self._service.left(self)

    def pause_writing(self) -> None:
        """The peer does not read: nor do we, then, or its requests' answers would pile up here."""
        self._calls.paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._calls.paused = False
        self._handle_waiting()
        if not self._calls.paused:
            self._transport.resume_reading()
            self._calls.unblock()

    # --- the server's side

    def drain(self) -> None:
        """GOAWAY; calls under way finish, then the connection is closed."""
        self._connection.drain()
        self._flush()

    def cut(self) -> None:
        self._transport.abort()

    # --- ours

    def _handle_waiting(self) -> None:
        """One read may hold a thousand requests, whose answers must not all be there before the first is written."""
        while self._waiting and not self._calls.paused:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self._calls.handle(batch)
            self._flush()

    def _flush(self) -> None:
        if self._ending:
            return
        output = self._connection.output()
        if output:
            self._transport.write(output)
        if self._connection.closed:
            self._end()

    def _end(self) -> None:
        """The codec has said its last. The peer may still be writing, and a socket that is closed with bytes unread
        resets the connection, and may take what we wrote with it: so only our side is closed, until the peer closes or
        its time is up."""
        self._ending = True
        self._timer.cancel()
        self._timer = self._later(self._service.limits.linger, self._transport.abort)
        self._service.counters.protocol_errors += self._connection.failed is not None
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _expect_preface(self) -> None:
        if not self._connection.established:
            self._give_up()
        elif self._transport.get_extra_info("socket").family != socket.AF_UNIX:
            self._timer = self._later(self._service.limits.keepalive, self._expect_word)

    def _expect_word(self) -> None:
        limits = self._service.limits
        if self._heard:
            self._heard = self._pinged = False
            self._timer = self._later(limits.keepalive, self._expect_word)
        elif self._pinged:
            self._give_up()
        else:
            self._pinged = True
            self._timer = self._later(limits.keepalive_answer, self._expect_word)
            self._connection.ping(PING)
            self._flush()

    def _give_up(self) -> None:
        self._service.counters.silent += 1
        self._transport.abort()

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, action)
