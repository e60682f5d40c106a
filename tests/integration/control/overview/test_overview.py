"""The fleet, CAs and their limits by replica, notifications that were given up, and the audit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.overview import FIRST, ROOT, SECOND, Control, Watched, audited, dead_letter, domain, now, sighted, tenant
from scenes.overview import watched as watched_by

from api.endpoints import DeliveryNotFound
from api.overview.audit import AuditWanted
from api.overview.places import Place
from control.acme.problems import AcmeUnavailable
from control.audit.anchor import Anchoring
from control.certificates.propagation import REMEMBERED
from control.limits.limits import Limits
from control.overview.deliveries import shown_address
from core.feed import SIGHTING_LIFETIME, Rejected, digest_of

# --- the fleet


async def test_sidecars_are_held_against_the_newest_change(watched: Watched, control: Control) -> None:
    await domain(control, await tenant(control, "acme"), "shop.test")
    newest = await control.fetchval("SELECT max(xid::text::bigint) FROM changes")
    watched.propagation.heard(sighted("ahead", newest + 1, 2))
    watched.propagation.heard(sighted("behind", newest, 1))
    watched.propagation.heard(sighted("rejects", newest + 1, 3, Rejected({digest_of("shop.test"): 2}, 1)))
    watched.propagation.heard(sighted("older", newest + 1, None, answers=False))
    fleet = await watched.overview.fleet(ROOT)
    assert (fleet.generation, fleet.heard_all, fleet.settling) == (newest, True, True)
    found = {
        one.id: (one.newest, one.envoys, one.acknowledged, one.rejected, one.rejected_names) for one in fleet.sidecars
    }
    assert found == {
        "ahead": (True, 2, 2, 0, 0),
        "behind": (False, 1, 0, 0, 0),
        "older": (True, None, 0, 0, 0),
        "rejects": (True, 3, 3, 2, 1),
    }
    assert [one.id for one in fleet.sidecars if not one.answers] == ["older"]


async def test_one_that_falls_silent_is_shown_as_gone_for_an_hour(watched: Watched) -> None:
    watched.propagation.heard(sighted("one", 7))
    watched.clock.ahead += SIGHTING_LIFETIME + 1
    (one,) = (await watched.overview.fleet(ROOT)).sidecars
    assert not one.live
    assert watched.overview.sidecars.expected() == []
    watched.clock.ahead += REMEMBERED
    assert (await watched.overview.fleet(ROOT)).sidecars == []


async def test_a_replica_whose_listening_connection_is_cut_says_so(watched: Watched) -> None:
    watched.propagation.is_listening = lambda: False
    fleet = await watched.overview.fleet(ROOT)
    assert (fleet.listens, fleet.heard_all) == (False, False)


# --- CAs, by replica


async def test_each_replica_has_a_view_of_its_own(pool: asyncpg.Pool[Any], control: Control) -> None:
    one, two = watched_by(pool, "one"), watched_by(pool, "two")
    first = one.authorities.by_directory(FIRST)
    second = two.authorities.by_directory(SECOND)
    assert first is not None and second is not None
    one.authorities.failed(first, AcmeUnavailable("ConnectTimeout", timedelta(minutes=5)))
    two.authorities.failed(second, AcmeUnavailable("ReadTimeout"))
    two.authorities.back(second)
    two.authorities.failed(second, AcmeUnavailable("ReadTimeout"))
    for each in (one, two):
        await each.overview.presence.tell()
    gone = """INSERT INTO control_replicas (name, view, heard_at)
        VALUES ('gone', '{"cas": []}', now() - interval '2 min')"""
    await control.execute(gone)
    replicas = {replica.name: replica for replica in await two.overview.replicas(ROOT)}
    assert {name: (one.live, one.mine) for name, one in replicas.items()} == {
        "gone": (False, False),
        "one": (True, False),
        "two": (True, True),
    }
    states = {name: [ca.state for ca in replica.cas] for name, replica in replicas.items()}
    assert states == {"gone": [], "one": ["out", "unused"], "two": ["unused", "stumbling"]}
    out, stumbling = replicas["one"].cas[0], replicas["two"].cas[1]
    assert out.until is not None and out.last_failure is not None
    assert (out.last_failure.code, out.failures, out.outages) == ("ca_unavailable", 1, 1)
    assert "ConnectTimeout" in out.last_failure.message
    assert stumbling.last_success is not None


async def test_a_replica_that_ends_says_so_and_is_forgotten_after_an_hour(watched: Watched, control: Control) -> None:
    await watched.overview.presence.tell()
    await watched.overview.presence._end()
    (one,) = await watched.overview.replicas(ROOT)
    assert (one.live, one.ended) == (False, True)
    await control.execute("UPDATE control_replicas SET heard_at = now() - interval '2 hours', name = 'before'")
    await watched.overview.presence.tell()
    assert [one.name for one in await watched.overview.replicas(ROOT)] == ["control-1"]


# --- limits


async def test_what_is_shown_of_a_limit_is_what_decides(watched: Watched, control: Control) -> None:
    limits = Limits(lambda hostname: hostname.partition(".")[2])
    before = await limits.room(control, FIRST)
    async with control.transaction():
        for number in range(7):
            await limits.take(control, FIRST, [f"n{number}.busy.test"])
        for _ in range(3):
            await limits.failed_validation(control, FIRST, "sad.busy.test")
    first, second = await watched.overview.limits(ROOT)
    (account,) = first.account
    assert (account.capacity, account.used, account.room) == (300, 7, before - 7)
    assert account.room == await limits.room(control, FIRST)
    assert account.full_at is not None and account.next_at is None
    used = {(one.name, one.key): one.used for one in first.busiest}
    assert used["certificate", "busy.test"] == 7
    assert used["failed_validation", "sad.busy.test"] == 3
    assert (second.busiest, second.account[0].used) == ([], 0)
    assert (first.per_day, first.waiting, first.waiting_until) == (2400, 0, None)


async def test_those_that_wait_have_their_turn_when_the_account_has_room(watched: Watched, control: Control) -> None:
    acme = await tenant(control, "acme")
    for number in range(400):
        waits = await domain(control, acme, f"n{number}.test", status="verified", ssl_status="none", cert_expiry=None)
        await control.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", waits)
    first, second = await watched.overview.limits(ROOT)
    assert (first.waiting, second.waiting) == (400, 0)
    assert first.waiting_until is not None
    assert timedelta(hours=1) < first.waiting_until - now() < timedelta(hours=2)  # 115 that come back in 36 s each
    async with control.transaction():
        limits = Limits(lambda hostname: hostname)
        until = await limits.refused_by_ca(control, FIRST, "n1.test", "too many new orders", now() + timedelta(hours=9))
    first, _ = await watched.overview.limits(ROOT)
    assert first.refused == [("account", "", until)]
    assert first.waiting_until == until


# --- notifications


async def test_what_was_given_up_is_sent_once_more_and_that_is_in_the_audit(watched: Watched, control: Control) -> None:
    acme = await tenant(control, "acme")
    letters = [await dead_letter(control, acme, f"https://h{number}.test/hook/secret?x=1") for number in range(5)]
    seen: list[UUID] = []
    after: Place | None = None
    while page := await watched.overview.deliveries(ROOT, "dead", after, 2):
        seen += [one.id for one in page]
        after = page[-1].place
    assert seen == letters[::-1]
    shown = await watched.overview.retry(ROOT, letters[0])
    assert (shown.state, shown.attempts, shown.address) == ("pending", 0, "https://h0.test/…")
    assert await control.fetchval("SELECT due_at <= now() FROM notification_endpoints WHERE id = $1", shown.endpoint_id)
    (row,) = await watched.overview.audit(ROOT, AuditWanted(action="delivery_retry"), None, 5)
    assert (row.actor, row.tenant_id, row.detail["tenant"]) == ("operator:root@platform", UUID(int=0), str(acme))
    assert [one.id for one in await watched.overview.deliveries(ROOT, "pending", None, 9)] == [letters[0]]
    assert await watched.overview.deliveries(ROOT, "delivered", None, 9) == []
    for missing in (letters[0], uuid4()):
        with pytest.raises(DeliveryNotFound):
            await watched.overview.retry(ROOT, missing)
    await control.execute("UPDATE notification_endpoints SET withdrawn_at = now()")
    with pytest.raises(DeliveryNotFound):
        await watched.overview.retry(ROOT, letters[1])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.test/services/T0/B0/secret", "https://hooks.test/…"),
        ("https://user:password@hooks.test:8443/x?token=1#y", "https://hooks.test:8443/…"),
        ("https://[2001:db8::1]:99999/", "…"),
    ],
)
def test_of_a_webhook_nothing_is_shown_that_lets_somebody_write_there(address: str, shown: str) -> None:
    assert shown_address("webhook", address) == shown
    assert shown_address("email", "ops@mybrand.co") == "ops@mybrand.co"


# --- the audit


async def found(watched: Watched, **wanted: Any) -> list[str]:
    return [row.action for row in await watched.overview.audit(ROOT, AuditWanted(**wanted), None, 50)]


async def test_the_audit_is_searched_by_each_of_its_facts(watched: Watched, control: Control) -> None:
    acme, zeta = await tenant(control, "acme"), await tenant(control, "zeta")
    await audited(control, acme, "shop.test", "tenant:alice", "add")
    await audited(control, acme, "shop.test", "control:one", "verify")
    await audited(control, zeta, "other.test", "tenant:bob", "add")
    await audited(control, zeta, "other.test", "operator:root", "choice_put")
    assert await found(watched) == ["choice_put", "add", "verify", "add"]
    assert await found(watched, hostname="shop.test") == ["verify", "add"]
    assert await found(watched, tenant_id=zeta) == ["choice_put", "add"]
    assert await found(watched, actor="tenant:") == ["add", "add"]
    assert await found(watched, actor="tenant:bob") == ["add"]
    assert await found(watched, actor="control:") == ["verify"]
    assert await found(watched, actor="tenant:%") == []
    assert await found(watched, action="add", hostname="other.test") == ["add"]
    assert await found(watched, since=now() - timedelta(minutes=1)) == ["choice_put", "add", "verify", "add"]
    assert await found(watched, until=now() - timedelta(minutes=1)) == []
    assert await found(watched, since=now() + timedelta(hours=1)) == []
    rows = await watched.overview.audit(ROOT, AuditWanted(), None, 2)
    rest = await watched.overview.audit(ROOT, AuditWanted(), rows[-1].id, 9)
    assert [row.action for row in rest] == ["verify", "add"]


async def test_a_time_is_found_among_many_rows(watched: Watched, control: Control) -> None:
    acme = await tenant(control, "acme")
    await control.execute(
        """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, at)
           SELECT $1, $1, 'shop.test', 'tenant:a', 'at_' || n, timestamptz '2026-01-01' + n * interval '1 hour'
           FROM generate_series(1, 1000) n""",
        acme,
    )
    since = now().replace(2026, 1, 11, 0, 0, 0, 0)
    assert await found(watched, since=since, until=since + timedelta(hours=3)) == ["at_242", "at_241", "at_240"]


async def test_each_row_says_whether_it_is_what_was_sealed(watched: Watched, control: Control, database: Any) -> None:
    acme = await tenant(control, "acme")
    for action in ("first", "second", "third"):
        await audited(control, acme, "shop.test", "tenant:alice", action)
    nothing: Any = None
    anchoring = Anchoring(watched.overview.presence._pool, nothing)
    while await anchoring._make():
        pass
    await audited(control, acme, "shop.test", "tenant:alice", "fourth")
    rows = await watched.overview.audit(ROOT, AuditWanted(), None, 9)
    assert [(row.seq, row.seal, row.anchored) for row in rows] == [
        (4, "sealed", False),
        (3, "sealed", True),
        (2, "sealed", True),
        (1, "sealed", True),
    ]
    figures = await watched.overview.figures(ROOT)
    assert (figures.unanchored, figures.uncovered) == (1, rows[0].at)
    superuser = await asyncpg.connect(database.superuser_dsn)
    try:
        await superuser.execute("ALTER TABLE audit DISABLE TRIGGER ALL; ALTER TABLE audit_seals DISABLE TRIGGER ALL")
        await superuser.execute("UPDATE audit SET actor = 'tenant:mallory' WHERE action = 'second'")
        await superuser.execute("DELETE FROM audit_seals WHERE seq = 4")
    finally:
        await superuser.close()
    rows = await watched.overview.audit(ROOT, AuditWanted(), None, 9)
    assert {row.action: row.seal for row in rows} == {
        "first": "sealed",
        "second": "changed",
        "third": "sealed",
        "fourth": "unsealed",
    }


async def test_no_search_reads_the_whole_log(control: Control) -> None:
    """Each fact has an index to go by."""
    await control.execute("SET enable_seqscan = off")
    await control.execute("SET enable_sort = off")
    for column, value in (("hostname", "'a'"), ("tenant_id", f"'{uuid4()}'"), ("action", "'a'")):
        query = f"EXPLAIN SELECT * FROM audit WHERE id < 9 AND id >= 0 AND {column} = {value} ORDER BY id DESC LIMIT 5"
        plan = "\n".join(row[0] for row in await control.fetch(query))
        assert "idx_audit" in plan or "audit_pkey" in plan, plan
