"""Our token fetched from one address over HTTP, as a CA fetches it for HTTP-01 (RFC 8555 section 8.3).

The address is a stranger's to choose. So: only addresses of the public Internet, or the platform's own; the address
that was looked at is the one that is connected to; redirects are followed to the same host alone, at that address;
little is read, and not for long.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urljoin, urlsplit

import httpx

from control.dns.verdict import printable
from control.outbox.guard import Network, refusal
from control.preflight.questions import Address

PREFIX = "/.well-known/acme-challenge/"
HTTP, HTTPS = 80, 443
READ = 1024  # bytes of a body: a key authorization has fewer than 200
HOPS = 3  # redirects; http to https is one
SHOWN = 80  # characters of what strangers' servers say

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# `untried`: this machine has no route there, which says nothing of the CA's.
Result = Literal["answered", "wrong_answer", "redirected", "unreachable", "forbidden", "untried"]

# In order: the first that fits says what went wrong.
ERRORS: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.TimeoutException: "no answer in time",
    httpx.ConnectError: "no connection",
    httpx.RemoteProtocolError: "no HTTP",
    httpx.NetworkError: "the connection was cut",
}


@dataclass(frozen=True, slots=True)
class ProbeToken:
    """What every Envoy of the platform answers with `key_authorization` at `/.well-known/acme-challenge/<token>`."""

    token: str
    key_authorization: str = field(repr=False)

    @classmethod
    def random(cls) -> Self:
        """One that no CA has given out."""
        token = secrets.token_urlsafe(32)
        return cls(token, f"{token}.{secrets.token_urlsafe(32)}")


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found at one address. Texts are printable and short; "" and None where nothing came."""

    address: Address
    result: Result
    status: int | None = None
    body: str = ""
    server: str = ""
    location: str = ""
    error: str = ""

    def to_json(self) -> Mapping[str, str | int]:
        fields = {
            "result": self.result,
            "status": self.status,
            "body": self.body,
            "server": self.server,
            "location": self.location,
            "error": self.error,
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}


def has_route(address: Address) -> bool:
    """Whether packets can leave for it from here: many machines have no IPv6. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.connect((str(address), HTTP))
    except OSError:
        return False
    return True


class Prober:
    """`own`: the platform's addresses, which may be of any kind. `within`: seconds for one address.

    `allowed`: networks that may be connected to although they are not public. `route`: see has_route.
    """

    def __init__(
        self,
        own: Collection[Address],
        within: float,
        port: int = HTTP,
        https_port: int = HTTPS,
        allowed: Sequence[Network] = (),
        route: Callable[[Address], bool] = has_route,
    ) -> None:
        self._own = frozenset(own)
        self._within = within
        self._ports = {"http": port, "https": https_port}
        self._allowed = allowed
        self._route = route

    async def probe(self, address: Address, hostname: str, token: ProbeToken) -> Probe:
        """Never raises for what the server there does."""
        kind = None if address in self._own else refusal(address, self._allowed)
        if kind is not None:
            return Probe(address, "forbidden", error=kind)
        if not self._route(address):
            return Probe(address, "untried", error="no route from here")
        try:
            async with asyncio.timeout(self._within), _transport() as transport:
                return await self._follow(transport, address, hostname, token)
        except TimeoutError:
            return Probe(address, "unreachable", error="no answer in time")
        except httpx.TransportError as error:
            word = next((text for kind, text in ERRORS.items() if isinstance(error, kind)), "no answer")
            return Probe(address, "unreachable", error=word)

    async def _follow(
        self, transport: httpx.AsyncHTTPTransport, address: Address, hostname: str, token: ProbeToken
    ) -> Probe:
        url = f"http://{hostname}{PREFIX}{token.token}"
        for _ in range(HOPS + 1):
            response = await transport.handle_async_request(self._request(url, address, hostname))
            try:
                location = response.headers.get("location", "")
                if response.status_code not in REDIRECTS or not location:
                    return await _judge(response, address, token)
            finally:
                await response.aclose()
            here = _same_host(url, location, hostname)
            if here is None:
                break
            url = here
        return Probe(address, "redirected", response.status_code, server=_server(response), location=_short(location))

    def _request(self, url: str, address: Address, hostname: str) -> httpx.Request:
        parts = urlsplit(url)
        host = f"[{address}]" if address.version == 6 else str(address)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return httpx.Request(
            "GET",
            f"{parts.scheme}://{host}:{self._ports[parts.scheme]}{target}",
            headers={
                "Host": hostname,
                "User-Agent": "nameplate-preflight",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
            extensions={"sni_hostname": hostname},
        )


def _transport() -> httpx.AsyncHTTPTransport:
    # As CAs do when a redirect leads to https: the certificate is what is still to be obtained.
    return httpx.AsyncHTTPTransport(verify=False, trust_env=False, limits=httpx.Limits(max_connections=1))


def _same_host(url: str, location: str, hostname: str) -> str | None:
    """Where a redirect leads, if it stays at the host and at the ports that CAs use."""
    try:
        there = urljoin(url, location)
        parts = urlsplit(there)
        default = {"http": HTTP, "https": HTTPS}.get(parts.scheme)
        if default is None or parts.hostname != hostname or parts.port not in {None, default}:
            return None
        httpx.URL(there)
    except (ValueError, httpx.InvalidURL):
        return None
    return there


async def _judge(response: httpx.Response, address: Address, token: ProbeToken) -> Probe:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > READ:
            break
    # Trailing white space does not matter (RFC 8555 section 8.3).
    right = response.status_code == 200 and body.rstrip() == token.key_authorization.encode()
    if right:
        return Probe(address, "answered", 200, server=_server(response))
    return Probe(
        address,
        "wrong_answer",
        response.status_code,
        body=_short(body[: SHOWN + 1].decode("utf-8", errors="backslashreplace")),
        server=_server(response),
    )


def _server(response: httpx.Response) -> str:
    return _short(response.headers.get("server", ""))


def _short(text: str) -> str:
    escaped = printable(text[: SHOWN + 1])
    return escaped if len(escaped) <= SHOWN else escaped[: SHOWN - 1] + "…"
