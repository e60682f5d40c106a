"""What all tests share: real servers, one of each a session and started when first asked for; and fresh rooms in them.

A server of the session is shared, so a test that stops, seals or kills one starts its own, in `state_dir`, with the
same class (`async with Postgres.start(state_dir) as postgres: ...`).

| fixture | for one test |
| --- | --- |
| `database` | a `Database` with our schema, empty |
| `vault_mount` | a `VaultMount` with the AppRoles of control and the sidecar |
| `dns_zone` | a `ServedZone` that nobody else edits |
| `state_dir` | an empty directory with a short path (for sockets) |
| `ports` | `ports(n)`: free TCP ports |
| `eventually` | `await eventually(predicate)`: wait until it is true |
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from embedded import debian, memory
from embedded.background import Background
from embedded.database import Database
from embedded.dns import DnsServer
from embedded.openbao import OpenBao
from embedded.pebble import Pebble
from embedded.pki import Pki
from embedded.ports import free_port, free_ports
from embedded.postgres import Postgres
from embedded.process import children
from embedded.vault_mount import VaultMount

TIME_SCALE = float(os.environ.get("NAMEPLATE_TEST_TIME_SCALE", "1"))
"""Every wait of the tests is multiplied by this: raise it on a slow machine."""

POLL_INTERVAL = 0.02

# A deadline for a single example measures the machine, not the code.
hypothesis_settings.register_profile("nameplate", deadline=None)
hypothesis_settings.load_profile("nameplate")


# --- rules of the whole suite


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: runs after all other tests (it looks at what they left)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Nothing skips itself: a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result, untyped here
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped itself, which no test may do: {report.longrepr}"


@pytest.hookimpl(trylast=True)  # after the fixtures have been torn down
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No process is left behind, whatever happened."""
    left = [pid for pid in children(os.getpid()) if _command(pid)]
    for pid in left:
        print(f"\nleft running by the tests: {pid} {_command(pid)}")
        os.kill(pid, signal.SIGKILL)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# --- waiting


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    """`await eventually(predicate, timeout=5)`: poll until the result is true, and return it.

    `predicate` is a function without arguments, `async` or not; an AssertionError in it means "not yet".
    """

    async def wait(predicate: Callable[[], Any], timeout: float = 5.0) -> Any:
        end = time.monotonic() + timeout * TIME_SCALE
        while True:
            complaint: AssertionError | None = None
            result = None
            try:
                result = predicate()
                if inspect.isawaitable(result):
                    result = await result
            except AssertionError as error:
                complaint = error
            if complaint is None and result:
                return result
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout:g} s (x {TIME_SCALE:g}); last: {result!r}") from complaint
            await asyncio.sleep(POLL_INTERVAL)

    return wait


@pytest.fixture(scope="session")
def time_scale() -> float:
    """For the rare test that hands a timeout to something else."""
    return TIME_SCALE


# --- room


@pytest.fixture(scope="session")
def session_dir() -> Iterator[Path]:
    """Everything that the servers of this session write, removed at the end."""
    with memory.directory("nameplate-test-") as directory:
        directory.chmod(0o711)  # root's PostgreSQL runs as another user, who must get through
        yield directory


@pytest.fixture
def state_dir(session_dir: Path, number: int) -> Path:
    """An empty directory for one test. It stays until the session ends, so that leaks can be searched for."""
    directory = session_dir / f"t{number}"
    directory.mkdir(mode=0o711)
    return directory


@pytest.fixture
def number(_numbers: Iterator[int]) -> int:
    """A number that no other test of the session has, for names."""
    return next(_numbers)


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def ports() -> Callable[[int], list[int]]:
    """`ports(n)`: n different free TCP ports on loopback."""
    return free_ports


# --- servers of the session


@pytest.fixture(scope="session")
def background(session_dir: Path) -> Iterator[Background]:
    """The event loop of the session's servers, on its own thread. They end before their directory does."""
    with Background() as running:
        yield running


@pytest.fixture(scope="session")
def postgres(background: Background, session_dir: Path) -> Postgres:
    return background.enter(Postgres.start(session_dir))


@pytest.fixture(scope="session")
def openbao(background: Background, session_dir: Path) -> OpenBao:
    return background.enter(OpenBao.start(session_dir))


@pytest.fixture(scope="session")
def dns_server(background: Background) -> DnsServer:
    return background.enter(DnsServer.start())


@pytest.fixture(scope="session")
def pki(background: Background, openbao: OpenBao, dns_server: DnsServer) -> Pki:
    """OpenBao as a certificate authority, with its ACME directory."""
    return background.run(Pki.enable(openbao, dns_resolver=dns_server.address))


@pytest.fixture(scope="session")
def pebble_package() -> None:
    """Debian's package pebble, installed if need be."""
    debian.ensure("pebble")


@pytest.fixture(scope="session")
def dns_packages() -> None:
    """Debian's packages of Knot and Unbound, unpacked if need be."""
    debian.ensure("knot")
    debian.ensure("unbound")


@pytest.fixture(scope="session")
def pebble(background: Background, session_dir: Path, dns_server: DnsServer, pebble_package: None) -> Pebble:
    """Pebble with its refused nonces and random waits (of at most 1 s). It fetches HTTP-01 at `pebble.http_port`."""
    return background.enter(
        Pebble.start(session_dir, dns_server=dns_server.address, http_port=free_port(), sleep_time=1)
    )


# --- fresh rooms in them


@pytest.fixture(scope="session")
def database_template(background: Background, postgres: Postgres) -> Database:
    """Migrated once; never connect to it."""
    return background.run(Database.create(postgres, "nameplate_template"))


@pytest.fixture
def database(background: Background, database_template: Database, number: int) -> Iterator[Database]:
    database = background.run(database_template.copy(f"t{number}"))
    yield database
    background.run(database.drop())


@pytest.fixture
def vault_mount(background: Background, openbao: OpenBao, number: int) -> Iterator[VaultMount]:
    mount = background.run(VaultMount.create(openbao, f"t{number}"))
    yield mount
    background.run(mount.remove())


@dataclass(frozen=True, slots=True)
class ServedZone:
    """A zone of the session's DNS server. Names are given relative to it, or "@" for the zone itself."""

    origin: str
    server: DnsServer

    def full(self, name: str) -> str:
        return self.origin if name == "@" else f"{name}.{self.origin}"

    def add(self, name: str, rdtype: str, value: str) -> None:
        self.server.add(self.full(name), rdtype, value)

    def replace(self, name: str, rdtype: str, *values: str) -> None:
        self.server.replace(self.full(name), rdtype, *values)

    def remove(self, name: str, rdtype: str | None = None) -> None:
        self.server.remove(self.full(name), rdtype)


@pytest.fixture
def dns_zone(dns_server: DnsServer, number: int) -> Iterator[ServedZone]:
    """An empty zone, `z<number>.test`."""
    zone = ServedZone(f"z{number}.test", dns_server)
    dns_server.add_zone(zone.origin)
    yield zone
    dns_server.remove_zone(zone.origin)
