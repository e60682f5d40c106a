"""A change is proven to be everywhere, and what stands in its way is counted: two sidecars, an Envoy each, and others.

What control knows, two replicas hear by PostgreSQL, as they do.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
from scenes import bare
from scenes import edge as edges
from scenes.edge import PLATFORM, Edge
from scenes.secrets import DeltaClient

from control.certificates.propagation import HEARD_ALL, Propagation, Seen
from control.listener import Listener
from core.certificate import Certificate
from core.feed import SIDECARS_CHANNEL, SIGHTING_LIFETIME
from core.vault import certificate_path
from embedded.background import Background
from embedded.browser import HandshakeRefused
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.vault_mount import VaultMount

HOST = "shop.mybrand.test"
CERTIFICATE = """INSERT INTO certificates (id, domain_id, serial, issuer, fingerprint, not_before, not_after,
    vault_version, directory_url) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'https://ca.test')"""
SERVE = "UPDATE custom_domains SET certificate_id = $1 WHERE id = $2 RETURNING pg_current_xact_id()::text::bigint"


@dataclass
class Clock:
    ahead: float = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead


@dataclass
class Fleet:
    """`edges`: two sidecars of one database and Vault. `replicas`: what two processes of control have heard."""

    edges: list[Edge]
    domain_id: UUID
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.replicas = [Propagation(self.clock) for _ in range(2)]
        self.clock.ahead = HEARD_ALL

    async def renew(self, hostname: str = HOST, domain_id: UUID | None = None, *, lost: bool = False) -> int:
        """Another certificate, as control would record it. Returns the transaction's id. `lost`: Vault forgets it."""
        edge, database = self.edges[0], self.edges[0].database
        domain_id = domain_id or self.domain_id
        issued = await edge.pki.issue([hostname])
        certificate = Certificate.parse(issued.chain_pem, issued.key_pem)
        path = certificate_path(domain_id)
        answer = await edge.mount.openbao.request(
            "POST", f"{edge.mount.path}/data/{path}", {"data": certificate.to_vault()}
        )
        if lost:
            await edge.mount.openbao.request("DELETE", f"{edge.mount.path}/metadata/{path}")
        certificate_id = uuid4()
        connection = await asyncpg.connect(database.control_dsn)
        try:
            await connection.execute(
                CERTIFICATE,
                certificate_id,
                domain_id,
                certificate.serial,
                certificate.issuer,
                certificate.fingerprint,
                certificate.not_before,
                certificate.not_after,
                int(answer["data"]["version"]),
            )
            xid: int = await connection.fetchval(SERVE, certificate_id, domain_id)
        finally:
            await connection.close()
        return xid

    def seen(self, xid: int, hostname: str = HOST) -> Seen | None:
        """None while the replicas do not agree."""
        one, other = (replica.seen(xid, hostname) for replica in self.replicas)
        return one if _counts(one) == _counts(other) else None


def _counts(seen: Seen) -> dict[str, Any]:
    return seen.to_json() | {"silent": seen.silent}


def _is(seen: Seen | None, sidecars: tuple[int, int], envoys: tuple[int, int, int]) -> bool:
    """(live, have) and (connected, acknowledged, rejected)."""
    assert seen is not None
    assert (seen.known, seen.seen) == sidecars, seen
    assert (seen.connected, seen.acknowledged, seen.rejected) == envoys, seen
    return True


@pytest.fixture(scope="module")
def pair(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[tuple[list[Edge], UUID]]:
    """Two sidecars with an Envoy each, for all tests; and the domain that they serve."""
    home = session_dir / "pair"
    servers = AsyncExitStack()

    async def build() -> tuple[list[Edge], UUID]:
        database = await database_template.copy("pair")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "pair")
        servers.push_async_callback(mount.remove)
        made = [called(name, home / name, database, mount, pki) for name in ("one", "two")]
        await made[0].add_default_certificate()
        domain_id = await made[0].add_domain(await made[0].add_tenant("acme"), HOST)
        for edge in made:
            await start(edge, servers)
        return made, domain_id

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


def called(name: str, home: Path, *ground: Any) -> Edge:
    home.mkdir(mode=0o711, parents=True)
    home.parent.chmod(0o711)
    edge = edges.create(home, *ground)
    edge.environment["NAMEPLATE_SIDECAR_ID"] = name
    return edge


async def start(edge: Edge, servers: AsyncExitStack) -> None:
    await servers.enter_async_context(edges.serve(edge))
    # An Envoy that has asked for nothing yet is not known to be one.
    assert (await edge.browser.get(f"acme.{PLATFORM}", edge.https_port)).status == 200


@pytest.fixture
async def fleet(pair: tuple[list[Edge], UUID]) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as servers:
        fleet = Fleet(*pair)
        for replica in fleet.replicas:
            listener = Listener(fleet.edges[0].database.control_dsn, {SIDECARS_CHANNEL: replica.heard}, lambda: None)
            servers.push_async_callback(_ended, asyncio.create_task(listener.run()))
        yield fleet


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def shown(edge: Edge, hostname: str = HOST) -> str:
    """The name in the certificate that a visitor is served with, verified."""
    page = await edge.browser.get(hostname, edge.https_port)
    assert page.status == 200
    return page.names[0]


@asynccontextmanager
async def client_of(edge: Edge) -> AsyncIterator[DeltaClient]:
    """One that is told of HOST's certificate, and has acknowledged it."""
    async with grpc.aio.insecure_channel(
        f"unix:{edge.home}/run/xds.sock", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        client = DeltaClient(channel)
        await client.subscribe(HOST)
        assert HOST in (await client.read()).served
        try:
            yield client
        finally:
            client.close()


async def test_a_change_is_on_all_sidecars_and_their_envoys_have_acknowledged_it(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    xid = await fleet.renew()
    await eventually(lambda: _is(fleet.seen(xid), (2, 2), (2, 2, 0)), timeout=10)  # held by neither Envoy
    for edge in fleet.edges:
        assert await shown(edge) == HOST
    xid = await fleet.renew()
    await eventually(lambda: _is(fleet.seen(xid), (2, 2), (2, 2, 0)), timeout=10)
    assert all(replica.seen(xid, HOST).complete for replica in fleet.replicas)
    assert not any(replica.seen(xid + 1_000_000, HOST).complete for replica in fleet.replicas)
    for edge in fleet.edges:
        said = (await edge.admin(f"/explain?host={HOST}")).json()
        (envoy,) = said["envoys"]
        assert (envoy["node"], envoy["version"], envoy["rejected"]) == ("edge", said["certificate"]["version"], None)


async def test_an_envoy_that_rejects_a_certificate_is_no_proof_and_is_named(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    async with client_of(fleet.edges[0]) as client:
        xid = await fleet.renew()
        said = await client.read(acknowledge=False)
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (3, 2, 0)), timeout=10)  # it has not said anything yet
        await client.reject(said, "not to my liking")
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (3, 2, 1)), timeout=10)
        assert all(replica.seen(xid, HOST).settled for replica in fleet.replicas)
        assert not any(replica.seen(xid, HOST).complete for replica in fleet.replicas)
        assert all(replica.seen(xid, "other.test").rejected == 0 for replica in fleet.replicas)
        explained = (await fleet.edges[0].admin(f"/explain?host={HOST}")).json()
        (envoy,) = [one for one in explained["envoys"] if one["rejected"]]
        assert envoy["rejected"] == {"version": said.served[HOST], "reason": "not to my liking"}
        await client.unsubscribe(HOST)
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (3, 3, 0)), timeout=10)


async def test_one_that_is_slow_is_waited_for_and_counts_when_it_answers(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    async with client_of(fleet.edges[1]) as client:
        xid = await fleet.renew()
        said = await client.read(acknowledge=False)
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (3, 2, 0)), timeout=10)
        later = await fleet.renew()
        await eventually(lambda: _is(fleet.seen(later), (2, 2), (3, 2, 0)), timeout=10)
        await client.send(response_nonce=said.nonce)
        assert HOST in (await client.read()).served
        await eventually(lambda: _is(fleet.seen(later), (2, 2), (3, 3, 0)), timeout=10)
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (3, 3, 0)), timeout=10)
    await eventually(lambda: _is(fleet.seen(later), (2, 2), (2, 2, 0)), timeout=10)  # gone, and told of at once


async def test_a_certificate_that_cannot_be_had_counts_for_its_own_domain_alone(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    one = fleet.edges[0]
    lost = await one.add_domain(await one.add_tenant("zeta"), "lost.test")
    for edge in fleet.edges:
        await eventually(lambda edge=edge: _is_shown(edge, "lost.test"))
    gone = await fleet.renew("lost.test", lost, lost=True)
    xid = await fleet.renew()
    await eventually(lambda: _is(fleet.seen(xid), (2, 2), (2, 2, 0)), timeout=15)
    await eventually(lambda: _is(fleet.seen(gone, "lost.test"), (2, 2), (2, 0, 2)), timeout=15)
    await one.delete_domain(lost)
    await eventually(lambda: _is(fleet.seen(gone, "lost.test"), (2, 2), (2, 2, 0)), timeout=15)


async def _is_shown(edge: Edge, hostname: str) -> bool:
    try:
        return await shown(edge, hostname) == hostname
    except HandshakeRefused:
        return False


async def test_what_all_domains_share_is_proven_by_the_envoys_that_are_configured_from_here(
    state_dir: Path, database, vault_mount, pki, eventually: Callable[..., Any]
) -> None:
    edge = edges.create(state_dir, database, vault_mount, pki)
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    await edge.add_domain(tenant, HOST)
    clock = Clock()
    replica = Propagation(clock)
    clock.ahead = HEARD_ALL
    async with AsyncExitStack() as servers:
        listener = Listener(database.control_dsn, {SIDECARS_CHANNEL: replica.heard}, lambda: None)
        servers.push_async_callback(_ended, asyncio.create_task(listener.run()))
        await servers.enter_async_context(bare.serve(edge))
        await bare.eventually_is(eventually, edge, HOST, "default")
        async with bare.rows(edge) as rows:
            for number in range(3):
                async with rows.connection.transaction():
                    await rows.service("other", 9 + number)
                    xid = await rows.connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
                await eventually(lambda xid=xid: _is(replica.seen(xid, HOST), (1, 1), (1, 1, 0)), timeout=10)
                said = (await edge.admin(f"/explain?host={HOST}")).json()
                assert said["directory"]["position"] > 0
                assert replica.seen(xid, HOST).complete


async def test_the_dead_are_not_waited_for(fleet: Fleet, state_dir: Path, eventually: Callable[..., Any]) -> None:
    one = fleet.edges[0]
    async with AsyncExitStack() as servers:
        third = called("three", state_dir / "three", one.database, one.mount, one.pki)
        await start(third, servers)
        xid = await fleet.renew()
        await eventually(lambda: _is(fleet.seen(xid), (3, 3), (3, 3, 0)), timeout=10)
        assert third.envoy is not None
        os.kill(third.envoy.pid, signal.SIGKILL)
        await eventually(lambda: _is(fleet.seen(xid), (3, 3), (2, 2, 0)), timeout=10)
        third.running.kill()
        xid = await fleet.renew()
        await eventually(lambda: _is(fleet.seen(xid), (3, 2), (2, 2, 0)), timeout=10)  # it might come back
        assert not any(replica.seen(xid, HOST).complete for replica in fleet.replicas)
        fleet.clock.ahead += SIGHTING_LIFETIME + 1
        heard = fleet.replicas[0].seen(xid, HOST)
        assert (heard.known, heard.complete) == (0, False)
        await eventually(lambda: _is(fleet.seen(xid), (2, 2), (2, 2, 0)), timeout=10)
