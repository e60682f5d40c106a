"""PgBouncer (Debian's package `pgbouncer`) before an embedded PostgreSQL, on loopback, any role without a password.

It refuses to run as root, so for root it runs as `nobody`, as PostgreSQL does, and its files may be read by others.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg

from embedded.debian import environment, require
from embedded.ports import LOOPBACK, free_port
from embedded.postgres import Postgres, let_through, private_user
from embedded.process import Process

ROLES = ("nameplate_owner", "nameplate_control", "nameplate_api", "nameplate_sidecar", "postgres")


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """`port`: where it listens."""

    port: int
    log_path: Path

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        postgres: Postgres,
        *,
        mode: Literal["transaction", "session"] = "transaction",
        sessions: int = 20,
        ignored: str = "",
        tls: tuple[str, str] | None = None,
    ) -> AsyncIterator[PgBouncer]:
        """Run it until the block ends. `sessions`: with PostgreSQL, for each role and database.

        `ignored`: startup parameters beside its own that it swallows. `tls`: a chain and its key in PEM; then it takes
        clients over TLS only. Raises `ServerFailed` and `PackageMissing`.
        """
        program = require("pgbouncer", "pgbouncer")
        port = free_port()
        home = state_dir / f"pgbouncer-{port}"
        home.mkdir(mode=0o755)
        (home / "users.txt").write_text("".join(f'"{role}" ""\n' for role in ROLES))
        log_path = home / "pgbouncer.log"
        (home / "pgbouncer.ini").write_text(
            f"""
            [databases]
            * = host={LOOPBACK} port={postgres.port}
            [pgbouncer]
            listen_addr = {LOOPBACK}
            listen_port = {port}
            unix_socket_dir =
            auth_type = trust
            auth_file = {home}/users.txt
            pool_mode = {mode}
            default_pool_size = {sessions}
            max_client_conn = 200
            ignore_startup_parameters = {ignored}
            server_lifetime = 3600
            {_tls(home, tls)}
            """.replace("\n            ", "\n")
        )
        user = private_user()
        if user is not None:
            let_through(state_dir)

        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(
                    f"postgresql://postgres@{LOOPBACK}:{port}/postgres?sslmode=prefer",
                    timeout=5,
                    statement_cache_size=0,
                )
            except (OSError, asyncpg.PostgresError):
                return False
            await connection.close()
            return True

        process = await Process.start(
            "PgBouncer",
            [program, home / "pgbouncer.ini"],
            log_path=log_path,
            ready=answers,
            env={**os.environ, **environment("pgbouncer")},
            user=user,
        )
        try:
            yield cls(port, log_path)
        finally:
            await process.stop()
            (home / "server.key").unlink(missing_ok=True)  # it outlives nobody

    def tls_dsn(self, database: str, user: str, authority: Path) -> str:
        """The same over TLS, when it has a certificate for `localhost`."""
        return f"postgresql://{user}@localhost:{self.port}/{database}?sslmode=verify-full&sslrootcert={authority}"

    def dsn(self, database: str, user: str) -> str:
        """Connection URI over TCP."""
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"


def _tls(home: Path, files: tuple[str, str] | None) -> str:
    if files is None:
        return ""
    for name, text in zip(("server.crt", "server.key"), files, strict=True):
        (home / name).write_text(text)
    return (
        f"client_tls_sslmode = require\nclient_tls_cert_file = {home}/server.crt\n"
        f"client_tls_key_file = {home}/server.key"
    )
