"""A pre-flight on real parts: a DNS server that is every resolver's, and an HTTP server at each loopback address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

from scenes import domains

from control.dns.resolver import Resolver
from control.preflight.preflight import Preflight
from control.preflight.probe import PREFIX, ProbeToken
from control.preflight.report import CaFacts, Check, Report
from core.domain import Domain
from embedded.dns import DnsServer

PATIENCE = 30.0  # seconds for what answers at once, on a machine that may be busy
NOW = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)
V4, V6 = "127.0.0.1", "::1"
# Where "another server" listens: none of the platform's addresses, and allowed although it is a loopback address.
OTHER = "127.0.0.2"
ZONE = "example"  # a top-level domain of the server's own, so that the climb of CAA ends with an answer
HOST = f"shop.brand.{ZONE}"
TARGET = f"custom.platform.{ZONE}"
OWN_TARGET = f"t-1.{TARGET}"
CA, SECOND_CA = "https://ca.test/directory", "https://second.test/directory"
FACTS = (
    CaFacts(CA, ("ca.test",), "https://ca.test/acct/1"),
    CaFacts(SECOND_CA, ("second.test",), "https://second.test/acct/1"),
)
TOKEN = ProbeToken("probe-token", "probe-token.thumbprint")


def has_ipv6() -> bool:
    """Whether this machine has the IPv6 loopback address."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tried:
        tried.bind((V6, 0))
        return True
    return False


def domain(hostname: str = HOST, status: str = "verified", **fields: Any) -> Domain:
    labels = {"target_label": "t-1", "acme_label": "a" * 32}
    return domains.domain(hostname, status=status, **{"verification_token": "token", **labels, **fields})


@dataclass(slots=True)
class Request:
    """What came: `address` is the one that was connected to."""

    address: str
    path: str
    host: str


Answer = Callable[[Request], Awaitable[bytes] | bytes]


def response(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def platform(request: Request) -> bytes:
    """As the sidecar's plain listener does."""
    if request.path == PREFIX + TOKEN.token:
        return response("200 OK", TOKEN.key_authorization.encode())
    return response("404 Not Found", b"Domain not configured for this platform")


@dataclass(slots=True)
class Scene:
    """`answers`: what is answered at an address instead of what the platform answers. `requests`: all that came."""

    dns: DnsServer
    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Scene]:
        async with AsyncExitStack() as stack:
            dns = await stack.enter_async_context(DnsServer.start())
            dns.add_zone(ZONE)
            dns.add(OWN_TARGET, "A", V4)
            scene = cls(dns, 0)
            hosts = [V4, OTHER, *([V6] if has_ipv6() else [])]
            scene.port = await scene._listen(stack, hosts)
            yield scene

    async def _listen(self, stack: AsyncExitStack, hosts: Sequence[str]) -> int:
        """One port that is free at all of them."""
        while True:
            opened: list[asyncio.Server] = []
            try:
                for host in hosts:
                    port = opened[0].sockets[0].getsockname()[1] if opened else 0
                    opened.append(await asyncio.start_server(self.serve, host, port))
            except OSError:
                for server in opened:
                    server.close()
                if not opened:
                    raise
                continue
            for server in opened:
                await stack.enter_async_context(server)
            return int(opened[0].sockets[0].getsockname()[1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            address = writer.get_extra_info("sockname")[0]
            request = Request(address, head[0].split(" ")[1], headers["host"])
            self.requests.append(request)
            answer = self.answers.get(address, platform)(request)
            writer.write(answer if isinstance(answer, bytes) else await answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def preflight(
        self, *more: DnsServer, ipv6: bool = True, timeout: float = PATIENCE / 3, **arguments: Any
    ) -> Preflight:
        """`ipv6`: whether the platform has an IPv6 address. `more`: further resolvers. Patient by default."""
        resolvers = [Resolver(V4, server.port, timeout) for server in (self.dns, *more)]
        return Preflight(
            resolvers,
            TARGET,
            [IPv4Address(V4)],
            [IPv6Address(V6)] if ipv6 else [],
            **{
                "port": self.port,
                "https_port": self.port,
                "allowed": [ip_network(OTHER)],
                "dns_within": PATIENCE,
                "next_within": PATIENCE,
                **arguments,
            },
        )

    async def examine(self, *more: DnsServer, ipv6: bool = True, **arguments: Any) -> Report:
        settings = {
            name: arguments.pop(name)
            for name in ("delegation", "timeout", "https_port", "port", "route")
            if name in arguments
        }
        return await self.preflight(*more, ipv6=ipv6, **settings).examine(
            arguments.pop("domain", domain()),
            arguments.pop("facts", FACTS),
            **{"challenge": "http-01", "token": TOKEN, **arguments},
        )


def of(report: Report, name: str) -> Check:
    """The one check of this name."""
    (found,) = [one for one in report.checks if one.name == name]
    return found


def codes(report: Report) -> dict[str, str]:
    return {one.name: one.code for one in report.checks}
