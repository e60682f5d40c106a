"""A sidecar and an Envoy for each lane, whose services come and go; and one's own, for tests of how they start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from scenes import bare
from scenes import edge as edges
from scenes.edge import Edge
from scenes.hierarchy import issue

from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.vault_mount import VaultMount

SYSTEM_CA = issue("Of the machine", ca=True)


@pytest.fixture
def edge(state_dir: Path, database: Database, vault_mount: VaultMount, pki: Pki) -> Edge:
    """Nothing is running yet."""
    return edges.create(state_dir, database, vault_mount, pki)


@pytest.fixture(scope="session")
def system_ca():
    """What the machine of the lanes' sidecars trusts, and nothing else."""
    return SYSTEM_CA


@pytest.fixture(scope="session")
def request_lane(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Edge]:
    """Tenant acme's domain shop.test and the service `default`; what a test adds has names that no other test has."""
    with served("request", background, session_dir, database_template, openbao, pki) as edge:
        yield edge


@pytest.fixture(scope="session")
def connection_lane(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Edge]:
    with served("connection", background, session_dir, database_template, openbao, pki) as edge:
        yield edge


@pytest.fixture(params=["request", "connection"])
def either_lane(request: pytest.FixtureRequest) -> Edge:
    return request.getfixturevalue(f"{request.param}_lane")


@contextmanager
def served(
    lane: str, background: Background, session_dir: Path, template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Edge]:
    home = session_dir / f"resources-{lane}"
    home.mkdir(mode=0o711)
    bundle = home / "roots.pem"
    bundle.write_text(issue("Another", ca=True).pem + SYSTEM_CA.pem)
    servers = AsyncExitStack()

    async def build() -> Edge:
        database = await template.copy(f"resources_{lane}")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, f"resources-{lane}")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        edge.environment["SSL_CERT_FILE"] = str(bundle)
        await edge.add_default_certificate()
        await edge.add_domain(await edge.add_tenant("acme"), "shop.test")
        return await servers.enter_async_context(bare.serve(edge, lane))

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())
