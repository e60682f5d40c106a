"""The admin is warned before something of the platform's own expires, once for each number of days."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from scenes.hierarchy import DAY, NOW, Hierarchy, issue

from api.admin.upstreams import Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from control.outbox.admin import ADMIN_MAILBOX, AdminEndpoints
from control.outbox.events import audiences, notice_of
from control.outbox.queue import Queue
from control.outbox.signing import Secrets
from control.services.expiry import ExpiryMetrics, ExpiryWatch
from control.services.trust import read_unread
from control.services.upkeep import Upkeep
from control.vault import Vault
from core.certificate import Certificate
from core.trust import TrustBundle
from core.vault_login import AppRole

LIFE = {"start": NOW - 335 * DAY, "end": NOW + 30 * DAY}


class Clock:
    def __init__(self) -> None:
        self.now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watch(pool: asyncpg.Pool[Any], registry: CollectorRegistry, clock: Clock) -> ExpiryWatch:
    return ExpiryWatch(pool, ExpiryMetrics(registry), clock)


async def told(pool: asyncpg.Pool[Any]) -> list[tuple[str, str, int]]:
    rows = await pool.fetch("SELECT tenant_id, domain_id, event, payload FROM outbox ORDER BY id")
    payloads = [json.loads(row["payload"]) for row in rows]
    assert all(row["tenant_id"] is None and row["domain_id"] is None for row in rows)
    return [(row["event"], it["name"], it["days"]) for row, it in zip(rows, payloads, strict=True)]


def identity(**life: datetime) -> Certificate:
    made = Hierarchy.of("edge.platform.io", **life)
    return Certificate.parse(made.chain, made.leaf.key_pem)


async def test_warnings_come_once_for_each_threshold_and_end_with_a_successor(
    pool: Any, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock
) -> None:
    await upstreams.identities.put(root, "edge", identity(**LIFE), ALWAYS)
    clock.now = NOW - timedelta(hours=1)
    assert await watch.look() == 0
    for days, expected in ((29, 30), (28, None), (13, 14), (6.5, 7), (2, 3), (0.5, 1), (-1, 0), (-40, None)):
        clock.now = LIFE["end"] - timedelta(days=days)
        before = len(await told(pool))
        await watch.look()
        await watch.look()
        new = (await told(pool))[before:]
        assert new == ([] if expected is None else [("platform.identity_expiring", "edge", expected)])
    await upstreams.identities.put(root, "edge", identity(end=NOW + 400 * DAY), ALWAYS)
    assert await watch.look() == 0
    assert await pool.fetchval("SELECT count(*) FROM expiry_warnings") == 0


async def test_many_replicas_tell_it_once(pool: Any, upstreams: Upstreams, root: Operator, clock: Clock) -> None:
    ending = issue("Old root", ca=True, **LIFE)
    lasting = issue("New root", ca=True, end=NOW + 900 * DAY)
    await upstreams.trust.put(root, "internal", TrustBundle.parse(ending.pem + lasting.pem), ALWAYS)
    clock.now = NOW + DAY
    replicas = [ExpiryWatch(pool, ExpiryMetrics(CollectorRegistry()), clock) for _ in range(5)]
    assert sum(await asyncio.gather(*(one.look() for one in replicas))) == 1
    assert await told(pool) == [("platform.trust_expiring", "internal", 30)]


async def test_a_warning_is_for_the_admin_and_says_what_and_when(
    pool: Any, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock
) -> None:
    await upstreams.identities.put(root, "edge", identity(**LIFE), ALWAYS)
    await upstreams.trust.put(root, "internal", TrustBundle.parse(issue("R", ca=True, **LIFE).pem), ALWAYS)
    clock.now = LIFE["end"] - timedelta(hours=1)
    await watch.look()
    for row in await pool.fetch("SELECT event, payload FROM outbox"):
        payload = json.loads(row["payload"])
        assert audiences(row["event"], payload) == {"admin"}
        notice = notice_of(row["event"])
        text = f"{notice.subject} {notice.text}".format_map(payload)
        assert payload["name"] in text
        assert payload["not_after"] in text
        assert notice.mail


async def test_a_warning_is_on_its_way_to_the_admins_mailbox(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock
) -> None:
    await AdminEndpoints(pool, Secrets(vault, clock), None, "ops@platform.io").register()
    await upstreams.identities.put(root, "edge", identity(**LIFE), ALWAYS)
    clock.now = LIFE["end"] - timedelta(hours=1)
    await watch.look()
    assert await Queue(pool).dispatch(clock.now) == 1
    rows = await pool.fetch("SELECT endpoint_id, state FROM deliveries")
    assert [tuple(row) for row in rows] == [(ADMIN_MAILBOX, "pending")]


async def test_removed_things_are_not_warned_of(
    pool: Any, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock
) -> None:
    await upstreams.identities.put(root, "edge", identity(**LIFE), ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    clock.now = LIFE["end"]
    assert await watch.look() == 0


async def test_the_figures_show_when_the_first_of_each_ends(
    upstreams: Upstreams, root: Operator, watch: ExpiryWatch, registry: CollectorRegistry, pool: Any
) -> None:
    certificate = identity(**LIFE)
    await upstreams.identities.put(root, "edge", certificate, ALWAYS)
    roots = [issue("R", ca=True, end=NOW + days * DAY) for days in (300, 200)]
    await upstreams.trust.put(root, "internal", TrustBundle.parse("".join(one.pem for one in roots)), ALWAYS)
    await pool.execute("INSERT INTO trust (name, pem) VALUES ('broken', 'nonsense')")
    await watch.look()
    name = "nameplate_upstream_certificate_not_after_timestamp_seconds"
    assert registry.get_sample_value(name, {"kind": "identity", "name": "edge"}) == certificate.not_after.timestamp()
    end = (NOW + 200 * DAY).timestamp()
    assert registry.get_sample_value(name, {"kind": "trust", "name": "internal"}) == end
    await upstreams.trust.delete(root, "internal", ALWAYS)
    await watch.look()
    assert b'name="internal"' not in generate_latest(registry)
    assert registry.get_sample_value("nameplate_services") == 0


async def test_what_was_put_there_by_hand_is_read_once_and_warned_of(
    pool: Any, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock
) -> None:
    """As a row of an earlier release; one that is no bundle is there to be replaced."""
    made = issue("Old\0 root", ca=True, **LIFE)
    insert = "INSERT INTO trust (name, pem) VALUES ($1, $2)"
    await pool.executemany(insert, [("broken", "nonsense"), ("internal", made.pem)])
    clock.now = NOW + DAY
    assert [one.authorities for one in await upstreams.trust.all(root)] == [(), ()]
    assert await watch.look() == 0
    await read_unread(pool)
    broken, internal = await upstreams.trust.all(root)
    assert broken.authorities == ()
    assert [(one.subject, one.not_after) for one in internal.authorities] == [("Old\ufffd root", LIFE["end"])]
    assert (await upstreams.trust.find(root, "internal")).facts == internal
    assert await watch.look() == 1
    assert await pool.fetchval("SELECT count(*) FROM trust WHERE authorities IS NULL") == 0


async def test_the_loop_looks_and_sweeps_and_outlives_outages(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, watch: ExpiryWatch, clock: Clock, eventually: Any
) -> None:
    await upstreams.identities.put(root, "edge", identity(**LIFE), ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    await upstreams.trust.put(root, "internal", TrustBundle.parse(issue("R", ca=True, **LIFE).pem), ALWAYS)
    await pool.execute("UPDATE identities SET withdrawn_at = now() - interval '1 hour'")
    clock.now = LIFE["end"]
    away = Vault("http://127.0.0.1:1", "secret", AppRole("role", lambda: "secret"), deadline=0.5)
    without = asyncio.create_task(Upkeep(pool, away, watch, every=0.01).run())
    try:
        await eventually(lambda: pool.fetchval("SELECT true FROM outbox"))
        assert not without.done()
        assert await pool.fetchval("SELECT count(*) FROM identities") == 1
    finally:
        without.cancel()
        await asyncio.gather(without, return_exceptions=True)
        away.close()
    await pool.execute("UPDATE identities SET claimed_until = now() - interval '1 second'")
    running = asyncio.create_task(Upkeep(pool, vault, watch, every=0.01).run())
    try:
        await eventually(lambda: pool.fetchval("SELECT count(*) = 0 FROM identities"))
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
