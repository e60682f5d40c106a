"""Each figure that control reads from PostgreSQL, on rows that were put there; and calls that are counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import dns.name
import pytest
from dns.rdatatype import RdataType
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from control.certificates.propagation import Propagation
from control.dns.resolver import Resolver
from control.limits.limits import Limits
from control.limits.policy import LETSENCRYPT
from control.metrics import cas, domains, work
from control.metrics.calls import MeasuredVault, VaultMetrics, measured
from control.metrics.fleet import SETTLED, Fleet
from control.vault import VaultConflict, VaultDenied, VaultUnavailable
from core.feed import Reached, Sighting
from core.vault import certificate_path
from core.vault_login import AppRole
from embedded.ports import free_port

DAY = timedelta(days=1)


def figures(families: Sequence[Metric]) -> dict[str, dict[tuple[str, ...], float]]:
    """By name without the prefix, then by the values of the labels; zeros left out."""
    return {
        family.name.removeprefix("nameplate_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples if sample.value
        }
        for family in families
    }


async def certificate(pool: Any, domain_id: Any, ends: timedelta, renew: timedelta, **columns: Any) -> None:
    """An active domain with a certificate: it ends, and is to be renewed, so long from now."""
    finding = columns.pop("ssl_finding", None)
    values = {"status": "active", "ssl_status": "issued", **columns}
    await pool.execute(
        """UPDATE custom_domains SET status = $2, ssl_status = $3, ssl_finding = $4, cert_expiry = now() + $5,
               renew_at = now() + $6 WHERE id = $1""",
        domain_id,
        values["status"],
        values["ssl_status"],
        json.dumps(finding) if finding else None,
        ends,
        renew,
    )


async def test_domains_and_their_certificates_are_counted_by_whose_turn_it_is(pool, add_domain) -> None:
    await add_domain("pending.example")
    moved = await add_domain("moved.example", status="moved", ssl="issued")
    found = {"code": "cname_elsewhere", "who": "tenant"}
    await pool.execute("UPDATE custom_domains SET dns_finding = $2 WHERE id = $1", moved, json.dumps(found))
    gone = await add_domain("gone.example", status="active", ssl="issued")
    await pool.execute("UPDATE custom_domains SET deleted_at = now(), cert_expiry = now() WHERE id = $1", gone)
    for name, ends, renew, columns in (
        ("well", 60 * DAY, 30 * DAY, {}),
        ("due", 29 * DAY, -1 * DAY, {}),
        ("late", 10 * DAY, -20 * DAY, {"ssl_status": "error", "ssl_finding": {"code": "ca_unavailable", "who": "ca"}}),
        (
            "tenants",
            2 * DAY,
            -28 * DAY,
            {"ssl_status": "error", "ssl_finding": {"code": "caa_forbids", "who": "tenant"}},
        ),
        (
            "paused",
            5 * DAY,
            -25 * DAY,
            {"ssl_status": "paused", "ssl_finding": {"code": "paused_by_tenant", "who": "tenant"}},
        ),
        ("ended", -1 * DAY, -31 * DAY, {}),
        ("moved away", 1 * DAY, -29 * DAY, {"status": "moved"}),
    ):
        await certificate(pool, await add_domain(f"{name.replace(' ', '-')}.example"), ends, renew, **columns)
    said = figures(await domains.read(pool))
    assert said["domains"] == {
        ("pending", "none"): 1,
        ("moved", "issued"): 2,
        ("active", "issued"): 3,
        ("active", "error"): 2,
        ("active", "paused"): 1,
    }
    assert said["domain_findings"] == {
        ("dns", "cname_elsewhere", "tenant"): 1,
        ("certificate", "ca_unavailable", "ca"): 1,
        ("certificate", "caa_forbids", "tenant"): 1,
        ("certificate", "paused_by_tenant", "tenant"): 1,
    }
    assert said["certificates_expired"] == {("nobody",): 1}
    assert said["certificates_expiring"] == {
        ("1", "nobody"): 1,
        ("3", "nobody"): 1,
        ("3", "tenant"): 1,
        ("7", "nobody"): 1,
        ("7", "tenant"): 2,
        ("14", "nobody"): 1,
        ("14", "tenant"): 2,
        ("14", "ca"): 1,
        ("30", "nobody"): 2,
        ("30", "tenant"): 2,
        ("30", "ca"): 1,
    }
    assert said["renewals_due"] == {("nobody",): 2, ("ca",): 1, ("tenant",): 1}
    assert said["renewals_late"] == {("nobody",): 1, ("ca",): 1, ("tenant",): 1}
    first = await pool.fetchval("SELECT min(cert_expiry) FROM custom_domains WHERE deleted_at IS NULL")
    assert said["certificate_first_end_timestamp_seconds"][()] == pytest.approx(first.timestamp())


async def test_an_uploaded_certificate_counts_in_place_of_the_managed_one(pool, add_domain) -> None:
    domain_id = await add_domain("own.example")
    await certificate(pool, domain_id, 60 * DAY, -1 * DAY)
    upload = await pool.fetchval(
        """INSERT INTO uploads (domain_id, serial, issuer, fingerprint, not_before, not_after, names, vault_version)
           VALUES ($1, '1', 'x', repeat('0', 64), now(), now() + interval '2 days', '{}', 1) RETURNING id""",
        domain_id,
    )
    await pool.execute("UPDATE custom_domains SET upload_id = $2 WHERE id = $1", domain_id, upload)
    said = figures(await domains.read(pool))
    assert said["certificates_expiring"][("3", "nobody")] == 1
    assert ("1", "nobody") not in said["certificates_expiring"]
    assert said["renewals_due"] == {}


async def test_without_domains_every_state_is_said_to_be_empty(pool) -> None:
    families = {family.name: family for family in await domains.read(pool)}
    assert len(families["nameplate_domains"].samples) == len(domains.STATUSES) * len(domains.SSL_STATUSES) > 40
    assert {sample.value for sample in families["nameplate_domains"].samples} == {0}
    assert families["nameplate_certificate_first_end_timestamp_seconds"].samples == []


async def test_jobs_are_counted_by_where_they_stand(pool, add_domain) -> None:
    for name, job, change in (
        ("due", "verify", "run_at = now() - interval '90 s'"),
        ("later", "verify", "run_at = now() + interval '1 h'"),
        ("held", "obtain", "lease_until = now() + interval '15 s', run_at = now() - interval '1 h'"),
        ("lost", "obtain", "lease_until = now() - interval '1 s', run_at = now() - interval '10 s'"),
    ):
        domain_id = await add_domain(f"{name}.example", job=job)
        await pool.execute(f"UPDATE jobs SET {change} WHERE domain_id = $1", domain_id)
    said = figures(await work.read_jobs(pool))
    assert said["jobs_due"] == {("verify",): 1, ("obtain",): 1}
    assert said["jobs_scheduled"] == {("verify",): 1}
    assert said["jobs_running"] == {("obtain",): 1}
    assert said["job_oldest_due_seconds"][("verify",)] == pytest.approx(90, abs=30)
    assert said["job_oldest_due_seconds"][("obtain",)] == pytest.approx(10, abs=30)


async def test_notifications_are_counted_by_how_their_endpoints_are(pool) -> None:
    assert figures(await work.read_notifications(pool)) == {"notification_endpoints": {}, "outbox_waiting": {}}
    for column in ("created_at", "failing_since", "disabled_at", "withdrawn_at"):
        await pool.execute(
            f"INSERT INTO notification_endpoints (kind, address, {column}) VALUES ('webhook', 'https://x', now())"
        )
    await pool.execute("INSERT INTO outbox (event, payload) VALUES ('ca.out', '{}')")
    said = figures(await work.read_notifications(pool))
    assert said["notification_endpoints"] == {("working",): 1, ("failing",): 1, ("disabled",): 1}
    assert said["outbox_waiting"] == {(): 1}


class One:
    def __init__(self, name: str, directory_url: str) -> None:
        self.name, self.directory_url = name, directory_url


async def test_of_each_ca_it_is_said_what_its_limits_leave(pool, add_domain) -> None:
    authorities: Any = [One("limited", "https://a.test/dir"), One("own", "https://b.test/dir")]
    limits = Limits(lambda name: name, {"https://a.test/dir": LETSENCRYPT}, default=())
    before = figures(await cas.read(pool, authorities, limits))
    room = before["acme_orders_left"][("limited",)]
    assert room > 200
    async with pool.acquire() as connection, connection.transaction():
        await limits.take(connection, "https://a.test/dir", ["a.example"])
    await pool.execute(
        "INSERT INTO acme_orders (domain_id, directory_url) VALUES ($1, 'https://b.test/dir'), ($2, 'https://gone.test')",
        await add_domain("a.example"),
        await add_domain("b.example"),
    )
    async with pool.acquire() as connection, connection.transaction():
        await limits.refused_by_ca(connection, "https://b.test/dir", "a.example", "too many new orders")
    said = figures(await cas.read(pool, authorities, limits))
    assert said["acme_orders_left"] == {("limited",): room - 1}, "a CA without limits that refuses has none to count"
    assert said["acme_orders_open"] == {("own",): 1}
    assert said["acme_limits_reached"] == {("own", "account"): 1}


async def test_who_is_behind_a_change_of_half_a_minute_ago_is_counted(pool, database, add_domain) -> None:
    await add_domain("a.example", status="active", ssl="issued")
    xid = await pool.fetchval("SELECT max(xid::text::int8) FROM changes")
    propagation = Propagation(lambda: 0.0)
    for name, position in (("ahead", xid + 1), ("behind", xid)):
        propagation.heard(Sighting(name, position, envoys=(Reached(2, position),)).to_payload())
    fleet = Fleet(propagation)
    await fleet.read(pool)
    assert figures(list(fleet.collect())) == {
        "fleet_sidecars": {(): 2},
        "fleet_sidecars_behind": {},  # the change is of this moment
        "fleet_envoys": {(): 4},
        "fleet_envoys_behind": {},
    }
    owner = await asyncpg.connect(database.superuser_dsn)
    await owner.execute("UPDATE changes SET at = now() - interval '31 s'")
    await owner.close()
    assert figures(await fleet.read(pool))["feed_settled_position"] == {(): xid}
    said = figures(list(fleet.collect()))
    assert said["fleet_sidecars_behind"] == {(): 1}
    assert said["fleet_envoys_behind"] == {(): 2}


async def test_the_newest_of_a_million_changes_is_found_without_a_sort(pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {SETTLED}"))
    assert "idx_changes_xid" in plan
    assert "Sort" not in plan


async def test_calls_to_vault_are_counted_by_what_came_of_them(vault_mount) -> None:
    registry = CollectorRegistry()

    def vault(address: str, secret: str) -> MeasuredVault:
        made = MeasuredVault(address, vault_mount.path, AppRole(vault_mount.control.role_id, lambda: secret))
        made.metrics = metrics
        return made

    metrics = VaultMetrics(registry)
    path, good = certificate_path(uuid4()), vault(vault_mount.url, vault_mount.control.secret_id)
    assert await good.read(path) is None
    await good.write(path, {"key": "x"}, cas=0)
    with pytest.raises(VaultConflict):
        await good.write(path, {"key": "x"}, cas=0)
    await good.read_with_cas(path)
    await good.versions(path)
    await good.destroy(path)
    bad, lost = vault(vault_mount.url, "wrong"), vault(f"http://127.0.0.1:{free_port()}", "x")
    with pytest.raises(VaultDenied):
        await bad.read(path)
    with pytest.raises(VaultUnavailable):
        await lost.destroy(path)
    for one in (good, bad, lost):
        one.close()
    calls = {
        (sample.labels["operation"], sample.labels["outcome"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "nameplate_vault_calls_total"
    }
    assert calls == {
        ("read", "ok"): 2,
        ("write", "ok"): 2,
        ("versions", "ok"): 1,
        ("destroy", "ok"): 1,
        ("read", "vault_denied"): 1,
        ("destroy", "vault_unavailable"): 1,
    }
    assert registry.get_sample_value("nameplate_vault_call_seconds_count", {"operation": "write"}) == 2


async def test_questions_to_resolvers_are_counted_by_what_came_of_them(dns_zone) -> None:
    registry = CollectorRegistry()
    dns_zone.add("a", "TXT", "x")
    real, nobody = Resolver("127.0.0.1", dns_zone.server.port), Resolver("127.0.0.1", free_port(), 0.2)
    resolvers = measured([real, nobody], registry)
    assert [one.name for one in resolvers] == [real.name, nobody.name]
    for resolver, name in ((resolvers[0], "a"), (resolvers[0], "b"), (resolvers[1], "a")):
        await resolver.ask(dns.name.from_text(dns_zone.full(name)), RdataType.TXT, 5.0)

    def count(resolver: Resolver, outcome: str) -> float | None:
        labels = {"resolver": resolver.name, "outcome": outcome}
        return registry.get_sample_value("nameplate_dns_questions_total", labels)

    assert (count(real, "answer"), count(real, "no_name"), count(nobody, "unreachable")) == (1, 1, 1)
    assert registry.get_sample_value("nameplate_dns_question_seconds_count", {"resolver": real.name}) == 2
