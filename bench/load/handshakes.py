"""TLS handshakes, each on a TCP connection of its own: whole ones, and ClientHellos that are answered or refused.

A whole one ends when the client has the server's Finished (RFC 8446, 4.4.4), which costs a client more than the server.
A ClientHello is as the TLS library writes it, with another name of the same width put in: that costs so little that a
thousand a second are no matter. It is answered by a ServerHello, which Envoy sends with the certificate and not before.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from bench.load.engine import OK, Done
from bench.load.https import any_certificate
from bench.names import unknown

AT_ONCE = 400
REFUSED = "refused"
SERVED = "served"
CLOSED = "closed"
UNEXPECTED = "unexpected"
ALERT, HANDSHAKE = 21, 22  # RFC 8446, 5.1
HANDSHAKE_FAILURE, SERVER_HELLO = 40, 2  # RFC 8446, 6 and 4
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # else tens of thousands of ports would wait out their time


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection that is being made."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(BlockingIOError):
        made.connect(address)
    return made


class Attempt(Protocol):
    """On a connection of its own. `wants_to_write`: what `go_on` waits for."""

    fileno: int
    wants_to_write: bool

    def go_on(self) -> str | None:
        """Its outcome, or None: not yet."""

    def close(self) -> None: ...


class Whole:
    """One handshake to its end; `go_on` returns its outcome or None."""

    def __init__(self, raw: socket.socket, name: str, context: ssl.SSLContext) -> None:
        self.fileno = raw.fileno()
        self._raw = raw
        self._context = context
        self._name = name
        self._tls: ssl.SSLSocket | None = None
        self.wants_to_write = True  # until it is connected

    def go_on(self) -> str | None:
        try:
            if self._tls is None:
                self._tls = self._context.wrap_socket(
                    self._raw, server_hostname=self._name, do_handshake_on_connect=False
                )
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_to_write = False
            return None
        except ssl.SSLWantWriteError:
            self.wants_to_write = True
            return None
        except ssl.SSLError:
            return REFUSED
        except OSError:
            return CLOSED
        return OK

    def close(self) -> None:
        (self._tls or self._raw).close()


class Hello:
    """A ClientHello, and whether what comes is what should: an alert if it is `refused`, else a ServerHello."""

    def __init__(self, raw: socket.socket, hello: bytes, *, refused: bool) -> None:
        self.fileno = raw.fileno()
        self._raw = raw
        self._hello = hello
        self._wanted = REFUSED if refused else SERVED
        self.wants_to_write = True

    def go_on(self) -> str | None:
        try:
            if self.wants_to_write:
                self._raw.send(self._hello)
                self.wants_to_write = False
                return None
            answer = self._raw.recv(64)
        except BlockingIOError:
            return None
        except OSError:
            return CLOSED
        outcome = answered(answer)
        return OK if outcome == self._wanted else outcome

    def close(self) -> None:
        self._raw.close()


class Handshakes:
    """A target: ticket n is the handshake that `begin` makes of it."""

    def __init__(self, begin: Callable[[int], Attempt]) -> None:
        self._begin = begin
        self._attempts: dict[int, tuple[int, Attempt]] = {}
        self._ended: list[Attempt] = []  # closed when their latency has been taken

    @classmethod
    def whole(cls, host: str, port: int, name: Callable[[int], str]) -> Handshakes:
        context = any_certificate()
        return cls(lambda ticket: Whole(connect((host, port)), name(ticket), context))

    @classmethod
    def answered(cls, host: str, port: int, name: Callable[[int], str]) -> Handshakes:
        """Names as of bench.names.hostname."""
        return cls(_hellos(host, port, name, refused=False))

    @classmethod
    def refused(cls, host: str, port: int, first: int) -> Handshakes:
        """Of unregistered names, none twice."""
        return cls(_hellos(host, port, lambda ticket: unknown(first + ticket), refused=True))

    def readers(self) -> Sequence[int]:
        return [handle for handle, (_, attempt) in self._attempts.items() if not attempt.wants_to_write]

    def writers(self) -> Sequence[int]:
        return [handle for handle, (_, attempt) in self._attempts.items() if attempt.wants_to_write]

    def submit(self, ticket: int) -> bool:
        if len(self._attempts) >= AT_ONCE:
            return False
        attempt = self._begin(ticket)
        self._attempts[attempt.fileno] = (ticket, attempt)
        return True

    def flush(self) -> None:
        while self._ended:
            self._ended.pop().close()

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[Done]:
        finished: list[Done] = []
        for handle in (*readable, *writable):
            ticket, attempt = self._attempts[handle]
            if (outcome := attempt.go_on()) is not None:
                del self._attempts[handle]
                self._ended.append(attempt)
                finished.append((ticket, outcome))
        return finished

    def close(self) -> None:
        self.flush()
        for _, attempt in self._attempts.values():
            attempt.close()


def _hellos(host: str, port: int, name: Callable[[int], str], *, refused: bool) -> Callable[[int], Attempt]:
    stand_in = name(0)
    hello = client_hello(stand_in)

    def begin(ticket: int) -> Attempt:
        return Hello(connect((host, port)), hello.replace(stand_in.encode(), name(ticket).encode()), refused=refused)

    return begin


def answered(record: bytes) -> str:
    """What the first record of a server says (its first 7 bytes are enough)."""
    if len(record) < 7:
        return CLOSED
    if record[0] == ALERT and record[6] == HANDSHAKE_FAILURE:
        return REFUSED
    return SERVED if record[0] == HANDSHAKE and record[5] == SERVER_HELLO else UNEXPECTED


def client_hello(name: str) -> bytes:
    """What the TLS library would send first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = any_certificate().wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    if hello.count(name.encode()) != 1:
        raise ValueError("the name is not there once")
    return hello
