"""Visits: a TCP connection, a TLS handshake and one request, each on a connection of its own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto

from bench.load.handshakes import CLOSED, REFUSED, Handshakes, connect
from bench.load.https import Answer, any_certificate, request

READ = 65_536


class Phase(Enum):
    """Its name is part of what is said of a visit that fails in it."""

    CONNECT = auto()
    HANDSHAKE = auto()
    REQUEST = auto()


class Visit:
    """`go_on` returns its outcome or None: OK, a status, or the phase and how it ended."""

    def __init__(self, raw: socket.socket, name: str, context: ssl.SSLContext) -> None:
        self.fileno = raw.fileno()
        self.wants_to_write = True
        self._raw = raw
        self._name = name
        self._context = context
        self._tls: ssl.SSLSocket | None = None
        self._phase = Phase.CONNECT
        self._answer = Answer()

    def go_on(self) -> str | None:
        try:
            return self._go_on()
        except ssl.SSLWantReadError:
            self.wants_to_write = False
        except ssl.SSLWantWriteError:
            self.wants_to_write = True
        except ssl.SSLError:
            return self._failed(REFUSED)
        except OSError:
            return self._failed(CLOSED)
        return None

    def close(self) -> None:
        (self._tls or self._raw).close()

    def _go_on(self) -> str | None:
        if self._tls is None:
            if self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self._failed(CLOSED)
            self._tls = self._context.wrap_socket(self._raw, server_hostname=self._name, do_handshake_on_connect=False)
            self._phase = Phase.HANDSHAKE
        if self._phase is Phase.HANDSHAKE:
            self._tls.do_handshake()
            self._phase = Phase.REQUEST
            self._tls.send(request(self._name, close=True))
            self.wants_to_write = False
        while True:
            data = self._tls.recv(READ)
            if not data:
                return self._failed(CLOSED)
            if (outcome := self._answer.feed(data)) is not None:
                return outcome

    def _failed(self, how: str) -> str:
        return f"{self._phase.name.lower()} {how}"


def visits(host: str, port: int, name: Callable[[int], str], certificate: str = "") -> Handshakes:
    """A target. `certificate`: a file with the chain and the key that the client shows when it is asked for one."""
    context = any_certificate()
    if certificate:
        context.load_cert_chain(certificate)
    return Handshakes(lambda ticket: Visit(connect((host, port)), name(ticket), context))
