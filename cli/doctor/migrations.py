"""The schema: does the database have the migrations of this release."""

from __future__ import annotations

from collections.abc import Sequence

from cli.doctor.finding import Finding, found, well
from cli.doctor.postgresql import Connection, Role
from control.db.migrate import MigrationError, applied, available, pending


async def examine(connection: Connection, _role: Role) -> Sequence[Finding]:
    try:
        missing = pending(await applied(connection), available())
    except MigrationError as error:
        return [found("migrations_other", "migrations", error.message)]
    if missing:
        return [found("migrations_missing", "migrations", f"{len(missing)} are missing")]
    return [well("migrations", "all are applied")]
