"""HTTP/1.1 requests over TLS connections that stay open, one under way on each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from bench.load.engine import OK, Done

READ = 65_536
HANDSHAKE_DEADLINE = 10.0
CLOSED = "closed"


def any_certificate() -> ssl.SSLContext:
    """Which certificate is shown is the tests' business; here the cost of verifying it would be measured too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request(host: str, *, close: bool = False) -> bytes:
    last = "Connection: close\r\n" if close else ""
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n{last}\r\n".encode()


class Answer:
    """Of one request, in pieces. `last`: the server says that it is the connection's last one."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.last = False

    def feed(self, data: bytes) -> str | None:
        """OK or its status, when it is whole."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._data[:end]).lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0]) if found else 0
        if len(self._data) < end + 4 + length:
            return None
        self._data.clear()
        self.last = b"\r\nconnection: close" in head
        status = head[9:12].decode()
        return OK if status == "200" else status


class Connection:
    """Open, with its handshake done. `host`: SNI and Host."""

    def __init__(self, address: tuple[str, int], host: str, context: ssl.SSLContext) -> None:
        raw = socket.create_connection(address, timeout=HANDSHAKE_DEADLINE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname=host)
        self.socket.setblocking(False)
        self.host = host
        self.ticket: int | None = None
        self.answer = Answer()
        self._request = request(host)

    def send(self, ticket: int) -> None:
        self.ticket = ticket
        self.socket.send(self._request)

    def receive(self) -> str | None:
        """The outcome of the request under way: OK, a status, or CLOSED; None: not yet."""
        try:
            data = self.socket.recv(READ)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        except OSError:
            return CLOSED
        if not data:
            return CLOSED
        return self.answer.feed(data)


class Https:
    """A target. `hosts`: connection n is for host n, and is made again when the server closes it or says it will."""

    def __init__(self, host: str, port: int, hosts: Sequence[str]) -> None:
        self._address = (host, port)
        self._context = any_certificate()
        self._connections = [Connection(self._address, name, self._context) for name in hosts]
        self._free = list(self._connections)

    def readers(self) -> Sequence[int]:
        return [connection.socket.fileno() for connection in self._connections]

    def writers(self) -> Sequence[int]:
        return ()

    def submit(self, ticket: int) -> bool:
        if not self._free:
            return False
        connection = self._free.pop()
        try:
            connection.send(ticket)
        except OSError:
            # Closed while it was idle, as HTTP allows: once more on a new one.
            connection = self._replace(connection)
            self._free.remove(connection)
            connection.send(ticket)
        return True

    def flush(self) -> None:
        """Nothing is left over: a request fits into the socket's buffer."""

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[Done]:
        ready = set(readable)
        finished: list[Done] = []
        for connection in list(self._connections):
            if connection.socket.fileno() not in ready or (outcome := connection.receive()) is None:
                continue
            if connection.ticket is not None:
                finished.append((connection.ticket, outcome))
            if outcome is CLOSED:
                if connection in self._free:
                    self._free.remove(connection)
                self._replace(connection)
            elif connection.answer.last:
                self._replace(connection)
            else:
                connection.ticket = None
                self._free.append(connection)
        return finished

    def close(self) -> None:
        for connection in self._connections:
            connection.socket.close()

    def _replace(self, old: Connection) -> Connection:
        old.socket.close()
        new = Connection(self._address, old.host, self._context)
        self._connections[self._connections.index(old)] = new
        self._free.append(new)
        return new
