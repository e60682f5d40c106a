"""Checks over gRPC on a Unix socket, any number under way on each connection."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from bench.load.engine import OK, Done
from bench.load.http2 import Http2Client
from bench.load.message import CHECK_PATH, check_request, framed
from bench.names import hostname

READ = 1 << 18
AT_ONCE = 96  # streams on a connection: below every server's limit
RESERVE = 4096  # of the peer's window, for the next request
RESET = "reset"
CLOSED = "closed"
DENIED = "denied"
ALLOWED = b"x-tenant-id"


class Requests:
    """Framed CheckRequests by number: a template with the name replaced, where it occurs (host and SNI)."""

    def __init__(self) -> None:
        self._name = hostname(0).encode()
        self._parts = framed(check_request(hostname(0))).split(self._name)

    def __call__(self, name: bytes) -> bytes:
        """`name` has the width of all names (bench.names)."""
        if len(name) != len(self._name):
            raise ValueError("a name of another width")
        return name.join(self._parts)


class Connection:
    """One socket; tickets by stream."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.setblocking(False)
        self.client = Http2Client("authz", CHECK_PATH)
        self.tickets: dict[int, int] = {}

    @property
    def has_room(self) -> bool:
        return len(self.tickets) < AT_ONCE and self.client.send_window > RESERVE and not self.client.going_away

    def flush(self) -> None:
        out = self.client.out
        if out:
            with suppress(BlockingIOError):
                del out[: self.socket.send(out)]

    def receive(self) -> list[tuple[int, bytes | None]] | None:
        """The tickets that ended and their messages; None when the connection is closed."""
        try:
            data = self.socket.recv(READ)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        if not data:
            return None
        return [(self.tickets.pop(stream), message) for stream, message in self.client.receive(data)]


class Checks:
    """A target (bench.load.engine). `pick`: the name that a ticket asks for. A connection that ends is made anew."""

    def __init__(self, path: str, connections: int, pick: Callable[[int], bytes]) -> None:
        self._path = path
        self._pick = pick
        self._requests = Requests()
        self._connections = [Connection(path) for _ in range(connections)]
        self._turn = 0

    def readers(self) -> Sequence[int]:
        return [connection.socket.fileno() for connection in self._connections]

    def writers(self) -> Sequence[int]:
        return [connection.socket.fileno() for connection in self._connections if connection.client.out]

    def submit(self, ticket: int) -> bool:
        for _ in self._connections:
            self._turn = (self._turn + 1) % len(self._connections)
            connection = self._connections[self._turn]
            if connection.has_room:
                stream = connection.client.request(self._requests(self._pick(ticket)))
                connection.tickets[stream] = ticket
                return True
        return False

    def flush(self) -> None:
        for connection in self._connections:
            connection.flush()

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[Done]:
        finished: list[Done] = []
        for number, connection in enumerate(self._connections):
            if connection.socket.fileno() not in readable:
                continue
            answers = connection.receive()
            if answers is None or (connection.client.going_away and not connection.tickets):
                finished += [(ticket, CLOSED) for ticket in connection.tickets.values()]
                connection.socket.close()
                self._connections[number] = Connection(self._path)
            else:
                finished += [(ticket, judge(message)) for ticket, message in answers]
        return finished

    def close(self) -> None:
        for connection in self._connections:
            connection.socket.close()


def judge(message: bytes | None) -> str:
    if message is None:
        return RESET
    return OK if ALLOWED in message else DENIED
