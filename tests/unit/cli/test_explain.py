"""`nameplate explain`: what a sidecar says, on a terminal; and what it says when there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from scenes.checks import DOMAINS, TENANTS
from scenes.client_certificates import Authority, pem
from scenes.explained import Room
from typer.testing import CliRunner, Result

from cli.main import app
from core.service import Address, Service, UpstreamTls
from sidecar.edge.model import ClientAuth, Edge, Identity
from sidecar.explain.question import parse_question
from sidecar.xds.envoys import Holder
from sidecar.xds.types import CLUSTER, LISTENER, SECRET

HOST = "shop.mybrand.co"
CA = Authority.root("Clients", 1)


@contextmanager
def answering(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Something on HTTP that answers the query; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path.partition("?")[2].encode())
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def explained_by(room: Room) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda query: (200, json.dumps(room.explain.explain(parse_question(query))).encode())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments], env={"COLUMNS": "200"})


def furnished() -> Room:
    """With all that can be said."""
    auth = ClientAuth(
        DOMAINS[0], TENANTS[0], HOST, True, True, ("san",), None, CA.pem.encode(), pem(CA.crl(7)).encode()
    )
    tls = UpstreamTls("app.internal", ("app.internal",), "ours", "me")
    room = Room(
        edge=Edge(
            services={"default": Service("default", (Address("127.0.0.1", 8080),), tls=tls)},
            trust={"ours": CA.pem.encode()},
            identities={"me": Identity("me", "ab" * 32, 1, 2e9)},
            client_auth={DOMAINS[0]: auth},
        )
    )
    room.envoys.held = {
        (LISTENER, "https"): [Holder(1, "edge-1", "a", "a", None, None)],
        (CLUSTER, "service/default"): [Holder(1, "edge-1", "a", "b", None, None)],
        (SECRET, HOST): [Holder(1, "edge-1", "a", "b", "b", "[bold]not\x1b[31m[/bold] to my liking")],
    }
    return room


def test_everything_is_shown_and_nothing_that_a_terminal_would_obey() -> None:
    with answering(explained_by(furnished())) as url:
        shown = run(HOST, "--sidecar", url)
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert any(line.startswith("service ") and line.endswith("default (the default), configured") for line in lines)
    assert "app.internal, signed by ours: Clients until" in shown.stdout
    assert "me until 2033-05-18" in shown.stdout
    assert "required, 0 consumers by san" in shown.stdout
    assert "1 revoked" in shown.stdout
    assert "edge-1 #1: a, told b" in shown.stdout
    assert "rejected b: [bold]not\N{REPLACEMENT CHARACTER}[31m[/bold] to my liking" in shown.stdout
    assert "421 client certificate missing" in shown.stdout


@pytest.mark.parametrize(
    ("host", "first", "code"),
    [
        (HOST, f"✓ {HOST} would be served", 0),
        ("nobody.example", "✗ nobody.example would not be served", 1),
        ("soon.mybrand.co", "✗ soon.mybrand.co would not be served", 1),
    ],
)
def test_the_first_line_and_the_exit_code_are_the_verdict(host: str, first: str, code: int) -> None:
    with answering(explained_by(Room())) as url:
        shown = run(host, "--sidecar", url + "/")
    assert (shown.stdout.splitlines()[0], shown.exit_code) == (first, code)


def test_what_is_not_in_memory_is_not_served() -> None:
    with answering(explained_by(Room(complete=False))) as url:
        shown = run("miss.example", "--sidecar", url)
    assert shown.exit_code == 1
    assert shown.stdout.startswith("? miss.example is not in memory\n    → Ask with load=1")


def test_a_directory_that_cannot_be_read_anew_is_shown_to_be_stale_and_why() -> None:
    room = Room()
    room.directory.fresh_for(0)
    room.last_error = "ConnectionRefusedError"
    with answering(explained_by(room)) as url:
        shown = run(HOST, "--sidecar", url)
    assert "STALE: changes may be missing; ConnectionRefusedError" in shown.stdout


def test_json_is_what_the_sidecar_says() -> None:
    asked: list[bytes] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        asked.append(query)
        return explained_by(Room())(query)

    with answering(answer) as url:
        shown = run(HOST, "--sidecar", url, "--json", "--sni", "", "--path", "/a?b=c", "--load")
    said: dict[str, Any] = json.loads(shown.stdout)
    assert said["asked"] == {"host": HOST, "sni": "", "path": "/a?b=c", "load": True}
    assert asked == [b"host=shop.mybrand.co&sni=&path=%2Fa%3Fb%3Dc&load=1"]


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (
            400,
            b'{"code": "parameter_too_long", "message": "host is too long."}',
            "host is too long. (parameter_too_long)",
        ),
        (404, b"Not found", "answers 404, but not as a sidecar's administration does"),
        (200, b"[]", "answers 200, but not as a sidecar's administration does"),
        (200, b'{"served": 1}', "answers 200, but not as a sidecar's administration does"),
        (500, b'{"message": "\\u001b[31m"}', "\N{REPLACEMENT CHARACTER}[31m (500)"),
    ],
)
def test_what_is_no_explanation_is_a_sentence_and_exit_code_2(status: int, body: bytes, complaint: str) -> None:
    with answering(lambda _: (status, body)) as url:
        shown = run(HOST, "--sidecar", url)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("nameplate: ")
    assert complaint in shown.stderr


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1", "http://[::", "ftp://127.0.0.1", "http://\x00"])
def test_where_nobody_answers_it_says_so(url: str) -> None:
    shown = run(HOST, "--sidecar", url)
    assert shown.exit_code == 2
    assert "does not answer" in shown.stderr
