"""`nameplate tenants` on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from control.audit.verify import verify
from embedded.background import Background
from embedded.database import Database

FIRST, SECOND, ABSENT = (UUID(int=n) for n in (1, 2, 3))
Command = Callable[..., Result]


@pytest.fixture
def tenants(database: Database) -> Command:
    def run(*arguments: object) -> Result:
        environment = {"NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn}
        return CliRunner().invoke(app, ["tenants", *map(str, arguments)], env=environment)

    return run


@pytest.fixture
def sql(background: Background, database: Database) -> Callable[..., Any]:
    """`sql(statement, …)`: its rows, as control's role."""

    async def run(statement: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(database.control_dsn)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    return lambda statement, *arguments: background.run(run(statement, *arguments))


def test_a_limit_is_set_shown_and_audited(
    tenants: Command, sql: Callable[..., Any], database: Database, background: Background
) -> None:
    result = tenants("limit", FIRST, 7)
    assert result.exit_code == 0, result.output
    assert "limit       7\n" in result.stdout
    assert tenants("show", FIRST).stdout == result.stdout
    for limit in ("7", "0", "default"):
        assert tenants("limit", FIRST, limit).exit_code == 0
    assert "limit       default" in tenants("show", FIRST).stdout
    rows = sql("SELECT tenant_id, domain_id, actor, action, detail FROM audit ORDER BY id")
    assert {(row["tenant_id"], row["domain_id"], row["action"]) for row in rows} == {(FIRST, UUID(int=0), "limit")}
    assert all(row["actor"].startswith("operator:") for row in rows)
    assert [json.loads(row["detail"]) for row in rows] == [
        {"from": None, "to": 7},
        {"from": 7, "to": 0},
        {"from": 0, "to": None},
    ]

    async def whole() -> bool:
        connection = await asyncpg.connect(database.control_dsn)
        try:
            return not (await verify(connection, None, None)).findings
        finally:
            await connection.close()

    assert background.run(whole())


def test_what_a_tenant_has_is_counted_by_status(tenants: Command, sql: Callable[..., Any]) -> None:
    for tenant in (FIRST, SECOND):
        sql("INSERT INTO tenants (id, slug) VALUES ($1, 'tenant-' || $1::uuid::text)", tenant)
    for name, status, deleted in (("a", "active", False), ("b", "pending", False), ("c", "active", True)):
        sql(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, deleted_at)
               VALUES ($1, $2, 't', now(), $3, CASE WHEN $4 THEN now() END)""",
            FIRST,
            f"{name}.example.com",
            status,
            deleted,
        )
    assert tenants("show", FIRST).stdout.splitlines()[2:] == [
        "limit       default",
        "used        2",
        "  active    1",
        "  pending   1",
        "registered  3 in the last day, deleted ones included",
    ]
    lines = [f"{FIRST}  limit default  used 2", f"{SECOND}  limit default  used 0"]
    assert tenants("list").stdout.splitlines() == lines
    first = tenants("list", "--most", 1)
    assert (first.stdout.splitlines(), first.stderr) == (lines[:1], f"there are more: --after {FIRST}\n")
    rest = tenants("list", "--after", FIRST)
    assert (rest.stdout.splitlines(), rest.stderr) == (lines[1:], "")


def test_an_unknown_tenant_is_said_to_be_unknown(tenants: Command) -> None:
    result = tenants("show", ABSENT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"nameplate: there is no tenant {ABSENT}")


@pytest.mark.parametrize("limit", ["ten", "1.5", "٣", "1000001", "9" * 30, ""])
def test_a_limit_that_is_no_number_is_refused(tenants: Command, sql: Callable[..., Any], limit: str) -> None:
    result = tenants("limit", FIRST, limit)
    assert result.exit_code == 2
    assert result.stderr.startswith("nameplate: the limit is")
    assert sql("SELECT FROM tenants") == []


def test_a_database_that_is_away_is_one_line() -> None:
    environment = {"NAMEPLATE_CONTROL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    result = CliRunner().invoke(app, ["tenants", "list"], env=environment)
    assert result.exit_code == 2
    assert result.stderr.startswith("nameplate: PostgreSQL: ")
    assert "Traceback" not in result.output
