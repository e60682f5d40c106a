"""An Envoy with nothing but the sidecar in its configuration: from its exec to the first request that is served.

The listeners, the route and the cluster come over the stream, then the certificate of the name that is asked for. The
client tries again until it is answered 200, through TLS and by the upstream.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass
from threading import Event

from bench.edge import Edge, Server
from bench.load.engine import OK
from bench.load.https import READ, Answer, any_certificate, request
from bench.names import hostname
from bench.process import cpu_seconds
from bench.result import Bound, Report
from embedded.ports import LOOPBACK

MILLI = 1e3
GOAL = 1.0
BETWEEN_TRIES = 0.002
PATIENCE = 30.0


async def measure(edge: Edge, sidecar: Server, rounds: int, report: Report) -> None:
    """The domain 0 is served, by a service that answers. The first Envoy finds a sidecar that has just begun."""
    runs = [await _start(edge, sidecar, f"start-{number}") for number in range(rounds + 1)]
    report.figure("start.first", runs[0].seconds, "s", "the same, of a sidecar that was ready a moment ago")
    seconds, envoy_cpu, sidecar_cpu = zip(*((run.seconds, run.envoy, run.sidecar) for run in runs[1:]), strict=True)
    median = report.figure("start", seconds, "s", "from exec of Envoy to the first 200, from the bootstrap alone")
    worst = report.figure("start.worst", max(seconds), "s", "the longest of them")
    report.figure("start.envoy_cpu", envoy_cpu, "ms", "CPU of Envoy until then")
    report.figure("start.sidecar_cpu", sidecar_cpu, "ms", "CPU of the sidecar meanwhile")
    report.goal("Envoy from the bootstrap alone to the first request: median", median, "s", Bound.AT_MOST, GOAL)
    report.goal(
        f"Envoy from the bootstrap alone to the first request: worst of {rounds}", worst, "s", Bound.AT_MOST, GOAL
    )


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds`: until the first 200. CPU in milliseconds."""

    seconds: float
    envoy: float
    sidecar: float


async def _start(edge: Edge, sidecar: Server, name: str) -> Run:
    given_up = Event()
    first = asyncio.create_task(asyncio.to_thread(first_served, sidecar.ports.https, hostname(0), given_up))
    before, begun = cpu_seconds(sidecar.pid), time.monotonic()
    try:
        envoy = await edge.start_bare_envoy(name, sidecar.sockets)
        seconds = await first - begun
    finally:
        given_up.set()
    run = Run(seconds, cpu_seconds(envoy.pid) * MILLI, (cpu_seconds(sidecar.pid) - before) * MILLI)
    await envoy.stop()
    return run


def first_served(port: int, host: str, given_up: Event) -> float:
    """When a request was answered 200, by the monotonic clock. Raises TimeoutError."""
    context = any_certificate()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not given_up.is_set():
        try:
            if _ask(port, host, context) == OK:
                return time.monotonic()
        except OSError:
            pass  # not yet: refused, or cut in the handshake
        time.sleep(BETWEEN_TRIES)
    raise TimeoutError("nothing was served")


def _ask(port: int, host: str, context: ssl.SSLContext) -> str | None:
    with (
        socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        tls.sendall(request(host, close=True))
        answer = Answer()
        while data := tls.recv(READ):
            if (outcome := answer.feed(data)) is not None:
                return outcome
    return None
