"""Domains that ask for client certificates: control, sidecar, an Envoy of the bare bootstrap, and real TLS clients."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from scenes.client_certificates import Authority, Leaf, pem
from scenes.edge import Edge

from api.auth import Principal
from api.client_auth import Settings
from control.client_auth.tenant import TenantClientAuths
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK

ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
OTHER = Authority.root("Root B", 4)
STRANGER = Authority.root("Root C", 5).issue()  # nobody ever trusts it
FORGED = {"x-nameplate-consumer": "root", "x-nameplate-groups": "admin", "x-forwarded-client-cert": 'Chain="x"'}
REFUSED = 0  # in place of a status: the handshake


@dataclass(slots=True)
class Gate:
    """An edge with tenant acme's shop.test, which asks for no certificates, and its platform subdomain."""

    edge: Edge
    tenant: UUID
    lane: str
    names: Iterator[int] = field(default_factory=count)

    async def domain(self, pattern: str = "api{}.test", tenant: UUID | None = None) -> tuple[str, UUID]:
        """A live domain that no other test has."""
        hostname = pattern.format(next(self.names))
        return hostname, await self.edge.add_domain(tenant or self.tenant, hostname)

    @asynccontextmanager
    async def control(self) -> AsyncIterator[TenantClientAuths]:
        async with asyncpg.create_pool(self.edge.database.api_dsn, min_size=0, max_size=2) as pool:
            yield TenantClientAuths(pool)

    @property
    def caller(self) -> Principal:
        return Principal(self.tenant, "alice")

    async def ask_for(self, domain: UUID, *authorities: Authority, **more: Any) -> None:
        """`crls`: of the authorities. Without more: required, and nobody is looked up."""
        crls = more.pop("crls", ())
        settings = {"mode": "required", "lookup": False, "identify_by": ("san", "subject"), "groups_from": None}
        pems = "".join(one.pem for one in authorities or (ROOT,))
        wanted = Settings(ca_pem=pems, crl_pem="".join(map(pem, crls)) or None, **{**settings, **more})
        async with self.control() as control:
            await control.put(self.caller, domain, wanted)

    def client(self, sni: str | None, leaf: Leaf | None = None, *, http2: bool = False) -> Client:
        return Client(self, sni, leaf, http2)

    async def is_known(self, host: str) -> bool:
        """The plain listener leads only such to https."""
        async with plain_http() as client:
            answer = await client.get(f"http://{LOOPBACK}:{self.edge.http_port}/", headers={"host": host})
        return answer.status_code == 308

    async def status(self, host: str, leaf: Leaf | None = None, sni: str | None = None) -> int:
        """Over a connection of its own."""
        async with self.client(sni or host, leaf) as client:
            return await client.status(host)


class Client:
    """One connection (or those that it needs), whatever the hosts of its requests are."""

    def __init__(self, gate: Gate, sni: str | None, leaf: Leaf | None, http2: bool) -> None:
        context = ssl.create_default_context(cadata=gate.edge.pki.root_pem)
        if sni is None:
            context.check_hostname = False
        context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
        if leaf is not None:
            leaf.show_by(context)
        self._extensions = {"sni_hostname": sni or ""}
        self._url = f"https://{LOOPBACK}:{gate.edge.https_port}/"
        self._client = httpx.AsyncClient(verify=context, http2=http2, http1=not http2, trust_env=False, timeout=20)
        self.connections: set[str] = set()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, host: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        sent = {**(headers or {}), "host": host}
        response = await self._client.get(self._url, headers=sent, extensions=self._extensions)
        self.connections.add(str(response.extensions["network_stream"].get_extra_info("client_addr")))
        return response

    async def status(self, host: str) -> int:
        """REFUSED when Envoy ends the handshake (in TLS 1.3 the client hears of it after its own end of it)."""
        try:
            return (await self.get(host)).status_code
        except (httpx.TransportError, ssl.SSLError):
            return REFUSED

    async def hears(self, host: str, status: int) -> bool:
        return await self.status(host) == status

    async def told(self, host: str, headers: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the upstream was told."""
        response = await self.get(host, headers)
        assert response.status_code == 200, (response.status_code, response.text)
        return dict(json.loads(response.text)["headers"])


def identity(told: Mapping[str, str]) -> dict[str, str]:
    found = {key.removeprefix("x-nameplate-"): value for key, value in told.items() if key.startswith("x-nameplate-")}
    found.pop("host")
    return found
