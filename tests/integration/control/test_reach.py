"""A name behind a proxy: a real HTTP server on loopback that asks PostgreSQL as a sidecar does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import asyncpg
import pytest

from control.domains.reach import Reach
from control.domains.transition import load
from control.preflight.probe import Prober
from control.preflight.tokens import ProbeTokens
from core.domain import Domain
from embedded.database import Database
from embedded.ports import free_port

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serving(port: int, answer: Callable[[str], Any]) -> AsyncIterator[list[str]]:
    """Answers each request with what `answer` says to its last path segment; gives the Hosts that were asked for."""
    hosts: list[str] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        hosts.extend(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("host:"))
        body = (await answer(head.split(" ")[1].rpartition("/")[2])).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, LOOPBACK, port)
    try:
        yield hosts
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def domain(pool: asyncpg.Pool[Any], add_domain: Any) -> Domain:
    domain_id = await add_domain("shop.example.com", job=None, status="active")
    async with pool.acquire() as connection:
        domain = await load(connection, domain_id)
    assert domain is not None
    return domain


def reach(pool: asyncpg.Pool[Any], port: int) -> Reach:
    return Reach(ProbeTokens(pool), Prober([ip_address(LOOPBACK)], 5.0, port))


async def test_a_proxy_that_leads_here_is_told_from_another_server(
    pool: asyncpg.Pool[Any], database: Database, domain: Domain
) -> None:
    port = free_port()
    sidecar = await asyncpg.connect(database.sidecar_dsn)

    async def ours(token: str) -> str:
        return str(await sidecar.fetchval("SELECT key_authorization FROM challenges_v1 WHERE token = $1", token))

    async def anothers(token: str) -> str:
        return f"{token}.thumbprint"

    async with serving(port, ours) as hosts:
        assert await reach(pool, port)(domain, frozenset({LOOPBACK}))
        assert hosts == ["shop.example.com"]
    async with serving(port, anothers):
        assert not await reach(pool, port)(domain, frozenset({LOOPBACK}))
    await sidecar.close()
    assert not await reach(pool, port)(domain, frozenset({LOOPBACK})), "nobody listens there"
    assert await pool.fetchval("SELECT count(*) FROM challenges") == 0


async def test_an_address_that_is_not_public_is_not_asked(pool: asyncpg.Pool[Any], domain: Domain) -> None:
    port = free_port()

    async def nothing(_token: str) -> str:
        return ""

    async with serving(port, nothing) as hosts:
        strange = Reach(ProbeTokens(pool), Prober([], 5.0, port))
        assert not await strange(domain, frozenset({LOOPBACK, "169.254.169.254", "10.0.0.1", "::1"}))
        assert hosts == []
