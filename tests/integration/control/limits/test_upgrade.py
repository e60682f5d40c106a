"""Jobs that wait while the release with turns is installed."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from control.db.migrate import available
from embedded.background import Background
from embedded.database import OWNER
from embedded.postgres import Postgres

BEFORE = 7


@pytest.fixture
def name(background: Background, postgres: Postgres, database_template, number: int) -> Iterator[str]:
    """An empty database; the template's existence says that the roles are there."""
    name = f"upgrade{number}"
    background.run(postgres.create_database(name, owner=OWNER))
    yield name
    background.run(postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def test_waiting_jobs_have_turns_after_the_upgrade(postgres: Postgres, name: str) -> None:
    connection = await asyncpg.connect(postgres.dsn(name, OWNER))
    try:
        await connection.execute("CREATE TABLE schema_migrations (version INT PRIMARY KEY)")
        for migration in available()[:BEFORE]:
            await connection.execute(migration.sql)
        await connection.execute("SET ROLE nameplate_control")
        await connection.execute(
            """INSERT INTO tenants (slug) VALUES ('a');
               INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
               SELECT id, n || '.example', 't', now(), 'verified' FROM tenants, generate_series(1, 5) n;
               INSERT INTO jobs (domain_id, kind, run_at)
               SELECT id, 'obtain', now() - row_number() OVER (ORDER BY hostname) * interval '1 minute'
               FROM custom_domains"""
        )
        await connection.execute("RESET ROLE")
        await connection.execute(available()[BEFORE].sql)
        await connection.execute("SET ROLE nameplate_control")
        jobs = await connection.fetch("SELECT due, turn FROM jobs ORDER BY run_at")
    finally:
        await connection.close()
    assert all(job["due"] for job in jobs)
    assert [job["turn"] for job in jobs] == sorted({job["turn"] for job in jobs})
    assert len(jobs) == 5
