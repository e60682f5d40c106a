"""What parts of control tell of themselves: jobs that end as nobody expected, the audit's anchor, the listener."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from control.audit import anchor
from control.audit.anchor import Anchoring, AnchorMetrics
from control.jobs import Job, Jobs, Outcome
from control.listener import Listener
from control.metrics import process
from control.vault import Vault
from control.worker import JobMetrics, Worker
from core.feed import JOBS_CHANNEL
from core.vault_login import AppRole


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.mark.parametrize(("error", "reason"), [(ZeroDivisionError(), "fault"), (OSError(), "interrupted")])
async def test_a_job_that_ends_unexpectedly_is_counted(pool, add_domain, eventually, registry, error, reason) -> None:
    async def fails(_job: Job) -> Outcome:
        raise error

    await add_domain("a.example")
    task = asyncio.create_task(Worker(Jobs(pool, "a"), "verify", fails, 1, JobMetrics(registry)).run())
    labels = {"kind": "verify", "reason": reason}
    try:
        await eventually(lambda: registry.get_sample_value("nameplate_job_errors_total", labels) == 1)
        again = {"kind": "verify", "outcome": "again"}
        await eventually(lambda: registry.get_sample_value("nameplate_jobs_total", again) == 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_audit_log_that_is_not_vault_s_is_shown_until_somebody_has_looked(
    pool, database, vault_mount, add_domain, eventually, monkeypatch, registry
) -> None:
    monkeypatch.setattr(anchor, "FIRST", 0.0)
    role_id, secret_id = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role_id, lambda: secret_id))
    anchoring = Anchoring(pool, vault, every=0.05, metrics=AnchorMetrics(registry))
    await write(pool)
    task = asyncio.create_task(anchoring.run())

    def mismatch() -> float | None:
        return registry.get_sample_value("nameplate_audit_anchor_mismatch")

    try:
        await eventually(lambda: registry.get_sample_value("nameplate_audit_anchored_timestamp_seconds"))
        assert mismatch() == 0
        superuser = await asyncpg.connect(database.superuser_dsn)
        await superuser.execute(
            "ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL; DELETE FROM audit_checkpoints;"
            "ALTER TABLE audit_checkpoints ENABLE TRIGGER ALL"
        )
        await superuser.close()
        await eventually(lambda: mismatch() == 1)
        await write(pool)
        await anchoring.accept()
        await eventually(lambda: mismatch() == 0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        vault.close()


async def write(pool: Any) -> None:
    await pool.execute(
        """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action)
           VALUES (gen_random_uuid(), gen_random_uuid(), 'a.example', 'control:test', 'add')"""
    )


async def test_the_process_says_whether_it_hears_postgresql_and_how_many_connections_are_busy(
    pool, database, eventually, registry
) -> None:
    listener = Listener(database.control_dsn, {JOBS_CHANNEL: print}, lambda: None)
    process.register(registry, {"workers": pool}, lambda: listener.connected)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"nameplate_{name}", labels)

    assert value("listener_connected") == 0
    task = asyncio.create_task(listener.run())
    await eventually(lambda: value("listener_connected") == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert value("listener_connected") == 0
    assert value("database_connections_limit", pool="workers") == pool.get_max_size()
    assert value("database_connections_busy", pool="workers") == 0
    async with pool.acquire(), pool.acquire():
        assert value("database_connections_busy", pool="workers") == 2
    assert registry.get_sample_value("process_resident_memory_bytes")
    build = [sample.labels for family in registry.collect() for sample in family.samples if "build_info" in sample.name]
    assert [labels["process"] for labels in build] == ["control"] and build[0]["version"]
