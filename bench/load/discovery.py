"""Certificates asked for on one delta stream, as an Envoy asks for them: a request for each name, and an ACK for each
response. It makes no handshake, so what it cannot do faster is the sidecar's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from bench.load.engine import OK, Done
from bench.load.http2 import ACK, DEFAULT_WINDOW, SETTINGS, SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_UPDATE, Http2Client
from bench.load.message import framed
from sidecar.certs.secrets import SECRET_TYPE
from sidecar.wire import discovery_pb2 as wire

DELTA_PATH = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
NODE = "bench"
READ = 1 << 18
PREFIX = 5
RESERVE = 4096  # of the peer's windows, for the next request
REMOVED = "removed"
CLOSED = "closed"


class DeltaStream(Http2Client):
    """One call on a connection. `window`: what may still be sent on it."""

    def __init__(self) -> None:
        super().__init__("xds", DELTA_PATH, deadline=b"")
        self.stream = self.open()
        self._granted = 0
        self._sent = 0
        self._initial = DEFAULT_WINDOW

    @property
    def window(self) -> int:
        return min(self.send_window, self._initial + self._granted - self._sent)

    def say(self, request: wire.DeltaDiscoveryRequest) -> None:
        message = framed(request.SerializeToString())
        self._sent += len(message)
        self.write(self.stream, message)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        super()._control(kind, flags, stream, payload)
        if kind == WINDOW_UPDATE and stream == self.stream:
            self._granted += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if int.from_bytes(payload[at : at + 2], "big") == SETTINGS_INITIAL_WINDOW_SIZE:
                    self._initial = int.from_bytes(payload[at + 2 : at + 6], "big")


class Discovery:
    """A target (bench.load.engine). `name`: what a ticket asks for, none twice. One connection, one stream."""

    def __init__(self, path: str, name: Callable[[int], str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.setblocking(False)
        self._stream = DeltaStream()
        self._name = name
        self._tickets: dict[str, int] = {}
        self._said_hello = False
        self._in = bytearray()

    def readers(self) -> Sequence[int]:
        return [self._socket.fileno()]

    def writers(self) -> Sequence[int]:
        return [self._socket.fileno()] if self._stream.out else []

    def submit(self, ticket: int) -> bool:
        if self._stream.window < RESERVE:
            return False
        name = self._name(ticket)
        request = wire.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=[name])
        if not self._said_hello:
            self._said_hello = True
            request.node.id = NODE
        self._tickets[name] = ticket
        self._stream.say(request)
        return True

    def flush(self) -> None:
        if self._stream.out:
            with suppress(BlockingIOError):
                del self._stream.out[: self._socket.send(self._stream.out)]

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[Done]:
        if not readable:
            return []
        try:
            data = self._socket.recv(READ)
        except BlockingIOError:
            return []
        ended = self._stream.receive(data) if data else [(self._stream.stream, None)]
        finished = self._answers(self._stream.take(self._stream.stream))
        if ended:
            raise ConnectionError("the discovery stream has ended")
        return finished

    def close(self) -> None:
        self._socket.close()

    def _answers(self, data: bytes) -> list[Done]:
        finished: list[Done] = []
        received = self._in
        received += data
        while len(received) >= PREFIX:
            end = PREFIX + int.from_bytes(received[1:PREFIX], "big")
            if len(received) < end:
                break
            response = wire.DeltaDiscoveryResponse.FromString(bytes(received[PREFIX:end]))
            del received[:end]
            self._stream.say(wire.DeltaDiscoveryRequest(type_url=SECRET_TYPE, response_nonce=response.nonce))
            told = [(resource.name, OK) for resource in response.resources]
            told += [(name, REMOVED) for name in response.removed_resources]
            # What changes later is no answer.
            finished += [(self._tickets.pop(name), word) for name, word in told if name in self._tickets]
        return finished
