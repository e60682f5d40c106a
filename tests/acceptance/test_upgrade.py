"""From the last release to this one, and back, on real servers: docs/upgrade.md, every sentence that can be tried.

Requests are counted, never timed.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scenes import edge as edges
from scenes import released
from scenes.edge import PLATFORM, Edge
from scenes.load import load

from control.db.migrate import available
from embedded.background import Background
from embedded.browser import HandshakeRefused
from embedded.database import OWNER, Database
from embedded.identity import IdentityProvider
from embedded.operator import command
from embedded.pki import Pki
from embedded.ports import LOOPBACK, free_ports
from embedded.postgres import Postgres
from embedded.process import Process, ServerFailed
from embedded.stack import answers
from embedded.vault_mount import VaultMount

Eventually = Callable[..., Awaitable[Any]]
HOSTS = ("shop.test", f"acme.{PLATFORM}")
SUPERVISED = tuple(command("sidecar"))
MIGRATIONS = Path("control", "db", "migrations")
TAKES_AWAY = re.compile(
    r"\b(?:DROP\s+(?:TABLE|COLUMN|VIEW|FUNCTION|SCHEMA)|RENAME|SET\s+NOT\s+NULL)\b",
    re.IGNORECASE,
)


@pytest.fixture
def released_database(
    background: Background, postgres: Postgres, database_template: Database, tree: Path, number: int
) -> Iterator[Database]:
    """Of the release's schema, made by its own `migrate`."""
    database = Database(postgres, f"released{number}")
    background.run(postgres.create_database(database.name, owner=OWNER))
    background.run(released.migrate(database.owner_dsn, tree))
    yield database
    background.run(database.drop())


@asynccontextmanager
async def serving(edge: Edge, tree: Path | None) -> AsyncIterator[Edge]:
    """A supervised sidecar, of the release if a tree is given, with two names, behind an Envoy."""
    edge.command = SUPERVISED
    edge.environment |= {} if tree is None else released.environment(tree)
    await edge.add_default_certificate()
    await edge.add_domain(await edge.add_tenant("acme"), "shop.test")
    async with edges.serve(edge):
        yield edge


async def succeed(edge: Edge, tree: Path | None, successors: AsyncExitStack) -> Process:
    """A sidecar of the other release, started beside the one that runs, takes over; returns when that one has ended."""
    before = edge.running
    environment = dict(edge.environment)
    for name in released.environment(Path()):
        environment[name] = ""  # as if it was not set
    if tree is not None:
        environment |= released.environment(tree)
    name = f"successor{len(list(edge.home.glob('successor*')))}"
    process = await Process.start(
        name,
        [*SUPERVISED, "--replace"],
        log_path=edge.home / f"{name}.log",
        ready=edge.is_ready,
        env=environment,
        cwd=edge.home,
    )
    successors.push_async_callback(process.stop)
    async with asyncio.timeout(60):
        assert await before.wait() == 0
    edge.sidecar = process
    return process


async def arrives(edge: Edge, host: str, eventually: Eventually) -> None:
    """A new domain is served without anyone asking for it, and is not any more once it is deleted."""
    domain = await edge.add_domain(await edge.add_tenant(host.partition(".")[0]), host)

    async def status() -> int:
        try:
            return (await edge.browser.get(host, edge.https_port)).status
        except HandshakeRefused:
            return 0

    async def is_served() -> bool:
        return await status() == 200

    async def is_refused() -> bool:
        return await status() == 0

    await eventually(is_served, timeout=20)
    await edge.delete_domain(domain)
    await eventually(is_refused, timeout=20)


def log_of(process: Process) -> str:
    return process.log_path.read_text()


def test_without_its_history_a_clone_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    subprocess.run(["git", "init", "--quiet", empty], check=True)
    with pytest.raises(AssertionError, match=r"deploy/released.*git fetch --unshallow"):
        released.unpack(tmp_path / "tree", empty)


def test_the_release_runs_from_its_own_sources(tree: Path) -> None:
    modules = "import core, sidecar.app, control.app, cli.main; print(core.__file__, cli.main.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", modules],
        env={**os.environ, **released.environment(tree)},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert said.stdout.split() == [str(tree / "core" / "__init__.py"), str(tree / "cli" / "main.py")]


def test_migrations_are_added_and_take_nothing_away(tree: Path) -> None:
    """What the release reads and writes stays as it is, so that it may run on and be brought back."""
    before = {file.name: file.read_bytes() for file in (tree / MIGRATIONS).glob("*.sql")}
    now = {file.name: file.read_bytes() for file in (released.ROOT / MIGRATIONS).glob("*.sql")}
    assert {name: now.get(name) for name in before} == before
    added = now.keys() - before.keys()
    assert all(name > max(before) for name in added)
    taking = {name: TAKES_AWAY.findall(now[name].decode()) for name in added}
    assert not any(taking.values()), taking


async def test_an_upgrade_in_order_and_back_again_loses_no_request(
    tree: Path,
    released_database: Database,
    vault_mount: VaultMount,
    pki: Pki,
    state_dir: Path,
    eventually: Eventually,
) -> None:
    """migrate under the release's sidecar · the present sidecar takes over · the release's takes over again."""
    edge = edges.create(state_dir, released_database, vault_mount, pki)
    async with (
        AsyncExitStack() as successors,
        serving(edge, tree),
        load(edge.https_port, pki.root_pem, HOSTS, eventually) as visitors,
    ):
        first = edge.running
        await visitors.begin("migrate")
        said = await released.migrate(released_database.owner_dsn, None)
        await visitors.served(150)
        assert visitors.failures() == {}
        await arrives(edge, "early.test", eventually)

        await visitors.begin("upgrade")
        present = await succeed(edge, None, successors)
        await visitors.served(150)
        assert visitors.failures() == {}
        await arrives(edge, "late.test", eventually)

        await visitors.begin("back")
        again = await succeed(edge, tree, successors)
        await visitors.served(150)
        assert visitors.failures() == {}
        await arrives(edge, "back.test", eventually)
    newest = max(available(), key=lambda migration: migration.version)
    assert f"{newest.version:04} {newest.name}" in said or said == "up to date\n"
    for process in (first, present, again):
        assert "Traceback" not in log_of(process)


async def test_a_sidecar_that_comes_before_the_migration_serves(
    released_database: Database, vault_mount: VaultMount, pki: Pki, state_dir: Path, eventually: Eventually
) -> None:
    """The wrong order: it serves all the same, and says what it misses."""
    edge = edges.create(state_dir, released_database, vault_mount, pki)
    edge.environment["NAMEPLATE_OTLP_ENDPOINT"] = f"http://{LOOPBACK}:{free_ports(1)[0]}"
    async with serving(edge, None), load(edge.https_port, pki.root_pem, HOSTS, eventually) as visitors:
        await arrives(edge, "early.test", eventually)
        log = log_of(edge.running)
        await visitors.begin("migrate")
        said = await released.migrate(released_database.owner_dsn, None)
        assert ("traces_not_in_schema" in log) == ("0031 traces" in said)
        await visitors.served(150)
        assert visitors.failures() == {}
        await arrives(edge, "late.test", eventually)
        assert "Traceback" not in log_of(edge.running)


async def test_control_that_comes_before_the_migration_does_not_begin_and_says_why(
    released_database: Database, vault_mount: VaultMount, state_dir: Path
) -> None:
    """So that in a rolling upgrade those of the release go on."""
    identity = IdentityProvider.create()
    (state_dir / "jwks.json").write_text(identity.jwks())
    (port,) = free_ports(1)
    environment = {
        "NAMEPLATE_API_LISTEN": f"{LOOPBACK}:{port}",
        "NAMEPLATE_CONTROL_DATABASE_URL": released_database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": released_database.api_dsn,
        "NAMEPLATE_PLATFORM_DOMAIN": PLATFORM,
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": vault_mount.control.secret_id,
        "NAMEPLATE_JWT_JWKS_FILE": str(state_dir / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": identity.issuer,
        "NAMEPLATE_JWT_AUDIENCE": identity.audience,
        "NAMEPLATE_ACME_DIRECTORY_URL": "https://ca.test/directory",
    }

    async def start() -> Process:
        ready = answers(f"http://{LOOPBACK}:{port}/readyz")
        return await Process.start(
            "control", command("control"), log_path=state_dir / "control.log", ready=ready, env=environment
        )

    with pytest.raises(ServerFailed, match="control exited with 1 ") as failure:
        await start()
    said = await released.migrate(released_database.owner_dsn, None)
    applied = [line.removeprefix("applied ").replace(" ", "_") for line in said.splitlines()]
    for word in ("schema_outdated", "nameplate migrate", *applied):
        assert word in str(failure.value)
    process = await start()
    assert await process.stop() == 0
