"""PostgreSQL over TLS, with a password and with a certificate, as each role by its own settings.

The server is the distribution's, which may be a 15: the wheel's 18 is built without TLS. Our schema needs 16, so what
is looked at here is how each role gets in; the schema over TLS is in test_pgbouncer.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
import structlog
from pydantic import SecretStr
from scenes.hierarchy import Issued, issue

from control.app import pool_of
from control.db.away import AWAY
from control.db.settings import ApiDatabase, ControlDatabase, OwnerDatabase
from control.listener import Listener
from core.database import Access, trouble
from core.settings import access
from embedded.background import Background
from embedded.debian import ensure
from embedded.postgres import Postgres
from sidecar.directory.entry import PlatformDomain
from sidecar.directory.postgres import AddressUnusable
from sidecar.directory.postgres import Postgres as SidecarPostgres

ROLES = ("owner", "control", "api", "sidecar")
PASSWORD = "hunter2 with a space, %41 and a ü"
RULES = (
    "hostssl by_certificate all 127.0.0.1/32 cert",
    "hostssl by_password all 127.0.0.1/32 scram-sha-256",
    "hostnossl all all 127.0.0.1/32 reject",
)


pytestmark = pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """asyncpg drops the transport of a TLS handshake that failed, and Python says so when that is collected."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@dataclass(slots=True)
class World:
    """`authority`: of both sides' certificates."""

    server: Postgres
    authority: Issued

    def url(self, role: str, database: str, host: str = "localhost", **options: object) -> str:
        return f"postgresql://nameplate_{role}@{host}:{self.server.port}/{database}?{urlencode(options)}"


@pytest.fixture(scope="module")
def world(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Apart from what the suite's servers write: a server of PostgreSQL has its own key in a file."""
    ensure("postgresql")
    home = tmp_path_factory.mktemp("tls")
    for folder in (home, *home.parents[:2]):  # the server runs as a user of its own
        folder.chmod(0o711)
    server = background.enter(Postgres.start(home, tls=True))
    world = World(server, issue("Company", ca=True))

    async def furnish() -> None:
        for database in ("by_certificate", "by_password"):
            await server.create_database(database)
        for role in ROLES:
            await server.execute(f"CREATE ROLE nameplate_{role} LOGIN PASSWORD '{PASSWORD}'")
        shown = issue("localhost", world.authority, names=("localhost",))
        await server.guard(shown.pem, shown.key_pem, world.authority.pem, RULES)

    background.run(furnish())
    yield world
    background.run(server.stop())


@pytest.fixture
def files(world: World, tmp_path: Path) -> Path:
    """ca.pem and password; of each role ROLE.pem and ROLE.key; of a stranger's authority stranger.*."""
    (tmp_path / "ca.pem").write_text(world.authority.pem)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    for role in ROLES:
        write(tmp_path, role, issue(f"nameplate_{role}", world.authority))
    write(tmp_path, "stranger", issue("nameplate_control", issue("Stranger", ca=True)))
    return tmp_path


def write(folder: Path, name: str, issued: Issued) -> None:
    (folder / f"{name}.pem").write_text(issued.pem)
    (folder / f"{name}.key").write_text(issued.key_pem)


def verified(files: Path) -> dict[str, object]:
    return {"sslmode": "verify-full", "sslrootcert": files / "ca.pem"}


def certified(files: Path, role: str) -> dict[str, object]:
    return {**verified(files), "sslcert": files / f"{role}.pem", "sslkey": files / f"{role}.key"}


def of_settings(role: str, url: str, password_file: Path | None) -> Access:
    """As the process that connects as the role has it."""
    given = {f"{role}_database_url": url, f"{role}_database_password_file": password_file}
    match role:
        case "owner":
            return OwnerDatabase(**given).owner_access()
        case "control":
            return ControlDatabase(**given).control_access()
        case "api":
            return ApiDatabase(**given).api_access()
        case _:
            return access("SIDECAR_DATABASE", SecretStr(url), password_file)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("way", ["certificate", "password"])
async def test_each_role_gets_in_with_either(world: World, files: Path, role: str, way: str) -> None:
    options = certified(files, role) if way == "certificate" else verified(files)
    password = files / "password" if way == "password" else None
    connection = await of_settings(role, world.url(role, f"by_{way}", **options), password).connect(10)
    row = await connection.fetchrow("SELECT current_user, ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()
    name = f"/CN=nameplate_{role}" if way == "certificate" else None
    assert tuple(row) == (f"nameplate_{role}", True, name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sslcert": "control.pem", "sslkey": "control.key"}, None),
        ({}, "connection requires a valid client certificate"),
        ({"sslcert": "stranger.pem", "sslkey": "stranger.key"}, "may not be one that the server accepts"),
        ({"sslcert": "api.pem", "sslkey": "api.key"}, 'certificate authentication failed for user "nameplate_control"'),
        ({"sslcert": "control.pem", "sslkey": "api.key"}, "key values mismatch"),
        ({"sslcert": "control.pem", "sslkey": "none.key"}, "a file that the URL names"),
        ({"sslrootcert": "stranger.pem"}, "the server's certificate is not accepted: "),
        ({"sslrootcert": "password"}, "no certificate or crl found"),
        ({"sslmode": "disable"}, "no encryption"),
        ({"host": "127.0.0.1"}, "certificate is not valid for '127.0.0.1'"),
        ({"sslmode": "require", "sslrootcert": "", "sslcert": "control.pem", "sslkey": "control.key"}, None),
    ],
)
async def test_certificates_that_are_not_good_are_said_to_be_and_why(
    world: World, files: Path, options: dict[str, str], said: str | None
) -> None:
    named = {key: files / value if key.startswith("ssl") and "." in value else value for key, value in options.items()}
    if "sslrootcert" in options:
        named["sslrootcert"] = files / options["sslrootcert"] if options["sslrootcert"] else ""
    host = str(named.pop("host", "localhost"))
    url = world.url("control", "by_certificate", host, **{**verified(files), **named})
    try:
        connection = await Access(url).connect(10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        assert said is not None
        assert said in trouble(error)
        assert "PRIVATE" not in trouble(error)
    else:
        await connection.close()
        assert said is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"another", "password authentication failed"),
        (b"", "password authentication failed"),
        (b"\xff\xfe", "is not text"),
        (None, "cannot be read: No such file"),
    ],
)
async def test_a_password_that_is_not_good_is_said_to_be_and_does_not_show(
    world: World, files: Path, content: bytes | None, said: str
) -> None:
    file = files / "mine"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((OSError, asyncpg.PostgresError)) as refused:
        await of_settings("api", world.url("api", "by_password", **verified(files)), file).connect(10)
    assert said in trouble(refused.value)
    assert "another" not in trouble(refused.value)


async def test_a_password_and_certificates_that_were_rotated_are_used_by_the_next_connection(
    world: World, files: Path
) -> None:
    by_password = of_settings("control", world.url("control", "by_password", **verified(files)), files / "password")
    by_certificate = of_settings("control", world.url("control", "by_certificate", **certified(files, "control")), None)
    async with pool_of(by_password) as first, pool_of(by_certificate) as second:
        for pool in (first, second):
            assert await pool.fetchval("SELECT 1") == 1
        renewed = issue("Company 2", ca=True)
        shown = issue("localhost", renewed, names=("localhost",))
        await world.server.guard(shown.pem, shown.key_pem, renewed.pem, RULES)
        await world.server.execute("ALTER ROLE nameplate_control PASSWORD 'another one'")
        await world.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'nameplate_control'"
        )
        (files / "ca.pem").write_text(renewed.pem)
        (files / "password").write_text("another one")
        write(files, "control", issue("nameplate_control", renewed))
        for pool in (first, second):
            assert await settled(pool) == 1
        await world.server.execute(f"ALTER ROLE nameplate_control PASSWORD '{PASSWORD}'")
        world.authority = renewed


async def settled(pool: Any) -> int:
    """A pool finds out at its use that a connection was cut."""
    for _ in range(3):
        try:
            return int(await pool.fetchval("SELECT 1"))
        except AWAY:
            continue
    raise AssertionError("there is no connection")


async def test_the_listener_and_the_feed_say_why_they_cannot_connect_and_no_secret(
    world: World, files: Path, eventually: Any
) -> None:
    (files / "password").write_text("wrong secret")
    lost = of_settings("control", world.url("control", "by_password", **verified(files)), files / "password")
    with structlog.testing.capture_logs() as logs:
        listening = asyncio.create_task(Listener(lost, {}, lambda: None).run())
        await eventually(lambda: logs)
        listening.cancel()
    assert logs[0]["event"] == "listener_cannot_connect"
    assert "password authentication failed" in logs[0]["reason"]
    assert "wrong secret" not in str(logs)
    url = world.url("sidecar", "by_password", sslmode="verify-full", sslrootcert=files / "stranger.pem")
    with pytest.raises(AddressUnusable, match="the server's certificate is not accepted"):
        await SidecarPostgres(Access(url), PlatformDomain("platform.test")).connect()
