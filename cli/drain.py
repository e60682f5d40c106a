"""`nameplate drain`: an Envoy's connections are told to close, before it is ended. The standard library only.

Envoy ends at SIGTERM as it stands, in the midst of answers. Told to drain first, it says `connection: close` (HTTP/2:
GOAWAY) with its answers, more and more of them within its --drain-time-s, and then closes its listeners.
Source: https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin#post--drain_listeners
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Annotated

import typer

PATIENCE = 5.0  # seconds for an answer
LOOK = 0.25
UNIX = "unix:"
# Of the listeners for visitors: connections that are open. Each worker thread counts its own once more.
OPEN = re.compile(r"^listener\.(?!admin\.)(?!.*\.worker_\d+\.).*\.downstream_cx_active: (\d+)$", re.MULTILINE)


class Unreachable(Exception):
    """Envoy's administration does not answer as it should; the text says how."""


def drain(
    admin: Annotated[
        str, typer.Option(help="Envoy's administration, unix:PATH or HOST:PORT, as `nameplate bootstrap --admin`.")
    ] = "127.0.0.1:9901",
    least: Annotated[float, typer.Option(min=0, help="Seconds in which connections may still come.")] = 5.0,
    seconds: Annotated[float, typer.Option(min=0, help="That all of it may take.")] = 25.0,
) -> None:
    """Have an Envoy drain, and return when it has no more connections or the time is over: then end it.

    For what stops Envoy: a `preStop` of its pod, `ExecStop=` of its unit. Exit code 1 when Envoy does not answer, as
    there is nothing to drain then.
    """
    start = time.monotonic()
    try:
        _ask(admin, "POST", "/drain_listeners?graceful&skip_exit")
        left = _connections(admin)
        while (passed := time.monotonic() - start) < seconds and (left or passed < least):
            time.sleep(LOOK)
            left = _connections(admin)
    except Unreachable as error:
        typer.echo(f"nameplate: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"connections left: {left}, after {time.monotonic() - start:.1f} s")


def _connections(admin: str) -> int:
    return sum(int(number) for number in OPEN.findall(_ask(admin, "GET", "/stats?filter=downstream_cx_active")))


def _ask(admin: str, method: str, path: str) -> str:
    try:
        connection = _UnixConnection(admin) if admin.startswith(UNIX) else HTTPConnection(admin, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise Unreachable(f"Envoy's administration at {admin}: {error or type(error).__name__}") from None
    if answer.status != 200:
        raise Unreachable(f"Envoy's administration at {admin} answers {answer.status} to {method} {path}")
    return text


class _UnixConnection(HTTPConnection):
    def __init__(self, admin: str) -> None:
        super().__init__("envoy", timeout=PATIENCE)
        self._path = admin.removeprefix(UNIX)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)
