"""Visits, and connections that stay open, against a TLS server of the standard library's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scenes import tls_pair

from bench.authority import Authority
from bench.load.engine import OK, closed_loop
from bench.load.https import Https
from bench.load.visits import visits
from bench.names import hostname
from embedded.ports import LOOPBACK, free_port

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@dataclass(slots=True)
class Server:
    """One connection after the other; each of its requests has the next answer. None: closed instead."""

    port: int
    connections: int = 0
    clients: list[bool] = field(default_factory=list)


@contextmanager
def serving(home: Path, answers: list[bytes | None], *, asks: bool = False) -> Iterator[Server]:
    """`asks`: for a certificate of the client, whatever it is."""
    authority = Authority()
    made = authority.issue(hostname(0))
    context = tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), made.chain_pem + made.key_pem)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.root_pem)
        client = authority.issue("client.test")
        (home / "client.pem").write_text(client.chain_pem + client.key_pem)
    left = list(answers)
    listening = socket.create_server((LOOPBACK, 0))
    server = Server(listening.getsockname()[1])

    def serve() -> None:
        with suppress(OSError):
            while True:
                raw, _ = listening.accept()
                server.connections += 1
                with suppress(OSError), context.wrap_socket(raw, server_side=True) as tls:
                    while left and tls.recv(10_000):
                        answer = left.pop(0)
                        if answer is None:
                            break
                        tls.sendall(answer)
                        if answer is LAST:
                            break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        (home / "client.pem").unlink(missing_ok=True)


@pytest.mark.parametrize(("answer", "outcome"), [(WHOLE, OK), (REFUSED, "503"), (None, "request closed")])
def test_a_visit_says_how_it_ended(state_dir: Path, answer: bytes | None, outcome: str) -> None:
    with serving(state_dir, [answer]) as server:
        target = visits(LOOPBACK, server.port, hostname)
        assert closed_loop(target, 1, 10, limit=1).outcomes == {outcome: 1}
        target.close()


def test_a_port_that_nobody_listens_on_is_a_failed_visit() -> None:
    target = visits(LOOPBACK, free_port(), hostname)
    assert closed_loop(target, 1, 10, limit=1).outcomes == {"connect closed": 1}
    target.close()


def test_a_visitor_shows_its_certificate_when_it_is_asked_for_one(state_dir: Path) -> None:
    with serving(state_dir, [WHOLE], asks=True) as server:
        without = visits(LOOPBACK, server.port, hostname)
        (refused,) = closed_loop(without, 1, 10, limit=1).outcomes
        assert refused in {"request refused", "request closed"}
        without.close()
        shown = visits(LOOPBACK, server.port, hostname, str(state_dir / "client.pem"))
        assert closed_loop(shown, 1, 10, limit=1).outcomes == {OK: 1}
        shown.close()


def test_a_connection_that_is_said_to_be_the_last_is_made_again_and_no_request_fails(state_dir: Path) -> None:
    with serving(state_dir, [WHOLE, LAST, WHOLE, LAST, WHOLE]) as server:
        target = Https(LOOPBACK, server.port, [hostname(0)])
        assert closed_loop(target, 1, 10, limit=5).outcomes == {OK: 5}
        target.close()
        assert server.connections == 3
