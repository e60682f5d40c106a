"""One sidecar, and an Envoy for each way of asking it, for the tests that only look; others start their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from scenes import bare
from scenes import edge as edges
from scenes.client_certificates import Authority, Leaf
from scenes.edge import CONNECTION, EXT_PROC, PLATFORM, Edge
from scenes.gate import REFUSED, STRANGER, Gate

from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.vault_mount import VaultMount

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
KEY_AUTHORIZATION = TOKEN + ".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"

Waits = Callable[..., Awaitable[None]]
Eventually = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class World:
    """`passes`: how it is counted that a live name is let through.

    What there is: tenant acme with shop.mybrand.test and *.wild.test, tenant zeta with other.test and
    own.wild.test, and zeta's soon.test, which is not live yet."""

    edge: Edge
    acme: str
    zeta: str
    shop: str = "shop.mybrand.test"
    platform: str = f"acme.{PLATFORM}"
    token: str = TOKEN
    key_authorization: str = KEY_AUTHORIZATION
    passes: str = "ok"


async def furnish(edge: Edge) -> World:
    await edge.add_default_certificate()
    acme, zeta = await edge.add_tenant("acme"), await edge.add_tenant("zeta")
    shop = await edge.add_domain(acme, "shop.mybrand.test")
    await edge.add_domain(acme, "*.wild.test")
    await edge.add_domain(zeta, "other.test")
    await edge.add_domain(zeta, "own.wild.test")
    await edge.add_pending_domain(zeta, "soon.test")
    await edge.add_challenge(shop, TOKEN, KEY_AUTHORIZATION)
    return World(edge, str(acme), str(zeta))


@pytest.fixture(scope="module")
def worlds(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Mapping[str, World]]:
    """By the way in which Envoy asks: the same names, sidecar and upstream."""
    home = session_dir / "edge"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> Mapping[str, World]:
        database = await database_template.copy("edge")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "edge")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        made = await furnish(edge)
        await servers.enter_async_context(edges.serve(edge))
        ext_proc = await servers.enter_async_context(edges.serve_also(edge, EXT_PROC))
        connection = await servers.enter_async_context(edges.serve_also(edge, CONNECTION))
        return {
            "ext_authz": made,
            "ext_proc": replace(made, edge=ext_proc),
            "connection": replace(made, edge=connection, passes="connection_ok"),
        }

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


@pytest.fixture(scope="module", params=["ext_authz", "ext_proc", "connection"])
def world(worlds: Mapping[str, World], request: pytest.FixtureRequest) -> World:
    """Served by Envoy. Only to be looked at."""
    return worlds[request.param]


@pytest.fixture
def edge(state_dir: Path, database: Database, vault_mount: VaultMount, pki: Pki) -> Edge:
    """One's own, with nothing in it and nothing running."""
    return edges.create(state_dir, database, vault_mount, pki)


@pytest.fixture(scope="session", params=["request", "connection"])
def gate(
    request: pytest.FixtureRequest,
    background: Background,
    session_dir: Path,
    database_template: Database,
    openbao: OpenBao,
    pki: Pki,
) -> Iterator[Gate]:
    """Shared by all modules: every test has domains of its own."""
    lane = request.param
    home = session_dir / f"gate-{lane}"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> Gate:
        database = await database_template.copy(f"gate_{lane}")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, f"gate-{lane}")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        await edge.add_default_certificate()
        tenant = await edge.add_tenant("acme")
        await edge.add_domain(tenant, "shop.test")
        await servers.enter_async_context(bare.serve(edge, lane))
        return Gate(edge, tenant, lane)

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


@pytest.fixture
def becomes(gate: Gate, eventually: Eventually) -> Waits:
    """`await becomes(host, leaf, 200)`: over new connections."""

    async def wait(host: str, leaf: Leaf | None, *wanted: int) -> None:
        async def so() -> bool:
            return await gate.status(host, leaf) in wanted

        await eventually(so, timeout=15)

    return wait


@pytest.fixture
def asked(gate: Gate, becomes: Waits, eventually: Eventually) -> Waits:
    """`await asked(host, domain, …)`: of the domain of that name, from now on; Envoy has the chain."""

    async def ask(host: str, domain: UUID, *authorities: Authority, **more: Any) -> None:
        # Else a stranger is refused because nobody knows the name yet.
        await eventually(lambda: gate.is_known(host), timeout=15)
        await gate.ask_for(domain, *authorities, **more)
        await becomes(host, STRANGER, REFUSED)

    return ask
