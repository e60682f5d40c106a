"""The verifier on a real PostgreSQL and real DNS servers: the states of a domain, its rows and its jobs."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from dns.rcode import Rcode
from prometheus_client import CollectorRegistry

from control.dns.ownership import Ownership
from control.dns.resolver import Resolver
from control.domains.verify import JITTER, REFRESH, Verifier
from control.jobs import Again, Done, Job, Jobs, LeaseLost
from control.worker import JobMetrics, Worker
from embedded.dns import DnsServer, Fault

TOKEN = "Abc123def456"
VALUE = f"verify-{TOKEN}"
TARGET = "custom.platform.test"
INTERVAL = timedelta(seconds=30)
ACTOR = "control:test"


@dataclass(slots=True)
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True)
class Room:
    """Control's side of one database, and a verifier that asks one DNS server."""

    pool: asyncpg.Pool
    jobs: Jobs
    verifier: Verifier
    clock: Clock

    async def register(self, hostname: str, ttl: timedelta = timedelta(hours=72), tenant: str = "") -> UUID:
        """A tenant with a pending domain and its job; `tenant` tells those of one hostname apart."""
        async with self.pool.acquire() as connection, connection.transaction():
            tenant_id = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ('t' || left(md5($1), 20)) RETURNING id", hostname + tenant
            )
            domain_id = await connection.fetchval(
                """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
                   VALUES ($1, $2, $3, $4) RETURNING id""",
                tenant_id,
                hostname,
                TOKEN,
                self.clock() + ttl,
            )
            await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'verify')", domain_id)
        return domain_id

    async def claim(self) -> Job:
        [job] = await self.jobs.claim("verify", 10)
        return job

    async def verify(self):
        """Claim the one job that is due, look, and settle it; then make it due again."""
        job = await self.claim()
        outcome = await self.verifier.verify(job)
        await self.jobs.settle(job, outcome)
        await self.pool.execute("UPDATE jobs SET run_at = now() WHERE kind = 'verify'")
        return outcome

    async def target(self, domain_id: UUID) -> str:
        """The CNAME target of the domain's tenant."""
        label = await self.pool.fetchval(
            "SELECT target_label FROM tenants WHERE id = (SELECT tenant_id FROM custom_domains WHERE id = $1)",
            domain_id,
        )
        return f"{label}.{TARGET}."

    async def row(self, domain_id: UUID) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT *, xmin FROM custom_domains WHERE id = $1", domain_id)

    async def finding(self, domain_id: UUID) -> dict:
        return json.loads((await self.row(domain_id))["dns_finding"])

    async def steps(self, domain_id: UUID) -> list[tuple[str, str, str]]:
        rows = await self.pool.fetch("SELECT action, detail FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
        details = [(row["action"], json.loads(row["detail"])) for row in rows]
        return [(action, detail["from"], detail["to"]) for action, detail in details]

    async def job_kind(self, domain_id: UUID) -> str | None:
        return await self.pool.fetchval("SELECT kind FROM jobs WHERE domain_id = $1", domain_id)


@asynccontextmanager
async def opened(dsn: str, port: int, timeout: float):
    clock = Clock()
    async with asyncpg.create_pool(dsn, min_size=1, max_size=10) as pool:
        ownership = Ownership([Resolver("127.0.0.1", port, timeout)], TARGET, clock)
        yield Room(pool, Jobs(pool, "test"), Verifier(pool, ownership, ACTOR, INTERVAL, clock), clock)


@pytest.fixture
async def room(database, dns_zone):
    async with opened(database.control_dsn, dns_zone.server.port, timeout=0.3) as room:
        yield room


async def test_a_proven_domain_goes_from_pending_by_dns_check_to_verified_and_its_job_becomes_obtain(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    assert await room.verify() == Done()
    row = await room.row(domain_id)
    assert (row["status"], row["ssl_status"], row["verified_by"]) == ("verified", "none", "txt")
    assert await room.steps(domain_id) == [
        ("dns_check", "pending", "dns_check"),
        ("verify", "dns_check", "verified"),
    ]
    assert await room.job_kind(domain_id) == "obtain"
    [obtain] = await room.jobs.claim("obtain", 10)
    assert (obtain.domain_id, obtain.attempts) == (domain_id, 1)
    assert (await room.finding(domain_id))["code"] == "txt_found"


async def test_each_step_is_a_transaction_of_its_own(room, dns_zone):
    """What is committed last is `verified`; `dns_check` was committed before it, so that it could be seen."""
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    await room.verify()
    xids = await room.pool.fetch("SELECT xmin::text FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
    assert len({row["xmin"] for row in xids}) == 2
    events = await room.pool.fetch("SELECT event FROM outbox WHERE domain_id = $1 ORDER BY id", domain_id)
    assert [row["event"] for row in events] == ["domain.dns_check", "domain.verify"]


async def test_a_domain_without_its_record_stays_pending_and_is_looked_at_again(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    outcome = await room.verify()
    assert isinstance(outcome, Again)
    assert INTERVAL * (1 - JITTER) <= outcome.delay <= INTERVAL * (1 + JITTER)
    assert outcome.progress
    assert (await room.row(domain_id))["status"] == "pending"
    assert (await room.finding(domain_id))["code"] == "txt_name_missing"
    assert await room.steps(domain_id) == []


async def test_the_pause_between_two_looks_is_jittered(room, dns_zone):
    await room.register(dns_zone.full("shop"))
    assert len({(await room.verify()).delay for _ in range(5)}) > 1


async def test_a_record_that_only_some_resolvers_see_is_dns_check(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    async with DnsServer.start() as second:
        second.add_zone(dns_zone.origin)
        both = [Resolver("127.0.0.1", dns_zone.server.port), Resolver("127.0.0.1", second.port)]
        verifier = Verifier(room.pool, Ownership(both, TARGET, room.clock), ACTOR, INTERVAL, room.clock)
        outcome = await verifier.verify(await room.claim())
        assert isinstance(outcome, Again)
        assert (await room.row(domain_id))["status"] == "dns_check"
        assert (await room.finding(domain_id))["code"] == "txt_propagating"
        await room.pool.execute("UPDATE jobs SET lease_until = NULL")
        second.add(dns_zone.full("_platform-verify.shop"), "TXT", VALUE)
        assert await verifier.verify(await room.claim()) == Done()
    assert await room.steps(domain_id) == [
        ("dns_check", "pending", "dns_check"),
        ("verify", "dns_check", "verified"),
    ]


async def test_a_cname_at_the_tenants_target_verifies_without_the_record(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("shop", "CNAME", await room.target(domain_id))
    assert await room.verify() == Done()
    row = await room.row(domain_id)
    assert (row["status"], row["verified_by"]) == ("verified", "cname")
    assert (await room.finding(domain_id))["code"] == "cname_at_platform"
    detail = await room.pool.fetchval("SELECT detail FROM audit WHERE action = 'verify'")
    assert json.loads(detail)["by"] == "cname"


async def test_a_cname_that_somebody_else_left_behind_proves_nothing(room, dns_zone):
    """At another tenant's target, or at the one that all tenants once shared."""
    other = await room.register(dns_zone.full("other"))
    await room.pool.execute("DELETE FROM jobs")
    domain_id = await room.register(dns_zone.full("shop"))
    for left_behind in (await room.target(other), TARGET + "."):
        dns_zone.replace("shop", "CNAME", left_behind)
        assert isinstance(await room.verify(), Again)
        assert (await room.row(domain_id))["status"] == "pending"


@pytest.mark.parametrize("given_up", [False, True], ids=["in use", "cooling down"])
async def test_a_proof_of_what_another_tenant_has_waits_in_dns_check_until_its_window_ends(room, dns_zone, given_up):
    holder = await room.register(dns_zone.full("shop"))
    await room.pool.execute("DELETE FROM jobs")
    await room.pool.execute("UPDATE custom_domains SET status = 'active'")
    if given_up:
        await room.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    domain_id = await room.register(dns_zone.full("shop"), tenant="another")
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    code = "hostname_cooling_down" if given_up else "hostname_in_use"
    for _ in range(2):
        assert isinstance(await room.verify(), Again)
        assert (await room.row(domain_id))["status"] == "dns_check"
        assert (await room.finding(domain_id))["code"] == code
    room.clock.now += timedelta(hours=73)
    assert await room.verify() == Done()
    assert ((await room.row(domain_id))["status"], (await room.row(holder))["status"]) == ("failed", "active")
    assert (await room.finding(domain_id))["code"] == code
    assert await room.steps(domain_id) == [
        ("dns_check", "pending", "dns_check"),
        ("verify_failed", "dns_check", "failed"),
    ]


async def test_an_expired_window_is_failed_after_a_last_look(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    assert isinstance(await room.verify(), Again)
    name = dns_zone.full("_platform-verify.shop")
    looks = dns_zone.server.query_count(name)
    dns_zone.server.fail(name, Fault(rcode=Rcode.SERVFAIL))
    room.clock.now += timedelta(hours=72)
    assert await room.verify() == Done()
    assert dns_zone.server.query_count(name) == looks + 1
    row = await room.row(domain_id)
    assert row["status"] == "failed"
    assert (await room.finding(domain_id))["code"] == "dns_servfail"
    assert await room.steps(domain_id) == [("verify_failed", "pending", "failed")]
    assert await room.job_kind(domain_id) is None


async def test_a_record_that_is_there_at_the_deadline_still_counts(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    room.clock.now += timedelta(hours=73)
    assert await room.verify() == Done()
    assert (await room.row(domain_id))["status"] == "verified"


async def test_dns_check_fails_too_when_its_window_ends(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    await room.pool.execute("UPDATE custom_domains SET status = 'dns_check' WHERE id = $1", domain_id)
    room.clock.now += timedelta(hours=72)
    assert await room.verify() == Done()
    assert await room.steps(domain_id) == [("verify_failed", "dns_check", "failed")]


async def test_the_last_look_is_at_the_deadline_and_no_later(room, dns_zone):
    await room.register(dns_zone.full("shop"), ttl=timedelta(seconds=5))
    assert (await room.verify()).delay == timedelta(seconds=5)


async def test_a_finding_is_written_when_it_changes_or_has_become_old(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    await room.verify()
    first = await room.row(domain_id)
    room.clock.now += timedelta(seconds=30)
    await room.verify()
    assert (await room.row(domain_id))["xmin"] == first["xmin"]
    dns_zone.add("_platform-verify.shop", "TXT", "verify-wrong")
    await room.verify()
    second = await room.row(domain_id)
    assert json.loads(second["dns_finding"])["code"] == "txt_mismatch"
    room.clock.now += REFRESH
    await room.verify()
    third = await room.row(domain_id)
    assert third["xmin"] != second["xmin"]
    assert datetime.fromisoformat(json.loads(third["dns_finding"])["at"]) == room.clock.now


async def test_strange_bytes_in_a_record_can_be_stored(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", "\0\x1b[31m\u202e")
    await room.verify()
    assert (await room.finding(domain_id))["detail"]["found"] == ["\\x00\\x1b[31m\\u202e"]


@pytest.mark.parametrize("status", ["active", "failed"])
async def test_a_domain_in_another_state_is_left_alone(room, dns_zone, status):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    await room.pool.execute("UPDATE custom_domains SET status = $2 WHERE id = $1", domain_id, status)
    assert await room.verify() == Done()
    assert (await room.row(domain_id))["status"] == status
    assert dns_zone.server.query_count(dns_zone.full("_platform-verify.shop")) == 0


async def test_a_verified_domain_whose_job_was_turned_back_to_verify_goes_on_to_obtain(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    await room.pool.execute("UPDATE custom_domains SET status = 'verified' WHERE id = $1", domain_id)
    assert await room.verify() == Done()
    assert await room.job_kind(domain_id) == "obtain"


class Interrupted(Ownership):
    """Something happens between the look and what follows from it."""

    def __init__(self, room: Room, port: int, statement: str) -> None:
        super().__init__([Resolver("127.0.0.1", port)], TARGET, room.clock)
        self._room = room
        self._statement = statement

    async def look(self, domain):
        found = await super().look(domain)
        await self._room.pool.execute(self._statement)
        return found

    def verifier(self) -> Verifier:
        return Verifier(self._room.pool, self, ACTOR, INTERVAL, self._room.clock)


@pytest.mark.parametrize("value", [VALUE, "verify-wrong"])
async def test_a_domain_that_is_deleted_during_the_look_is_left_alone(room, dns_zone, value):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", value)
    deleted = "UPDATE custom_domains SET deleted_at = now()"
    await Interrupted(room, dns_zone.server.port, deleted).verifier().verify(await room.claim())
    row = await room.row(domain_id)
    assert (row["status"], row["dns_finding"]) == ("pending", None)
    assert await room.steps(domain_id) == []


async def test_a_deleted_domain_is_not_looked_at(room, dns_zone):
    await room.register(dns_zone.full("shop"))
    await room.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    assert await room.verify() == Done()
    assert dns_zone.server.query_count(dns_zone.full("_platform-verify.shop")) == 0


async def test_a_worker_that_lost_its_lease_during_the_look_changes_nothing(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    lost = "UPDATE jobs SET lease_token = gen_random_uuid(), lease_until = NULL"
    verifier = Interrupted(room, dns_zone.server.port, lost).verifier()
    assert isinstance(await verifier.verify(await room.claim()), Again)
    assert (await room.row(domain_id))["dns_finding"] is None
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    with pytest.raises(LeaseLost):
        await verifier.verify(await room.claim())
    assert (await room.row(domain_id))["status"] == "pending"


async def test_a_deletion_during_the_look_keeps_its_job_to_revoke(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    deleted = "WITH d AS (UPDATE custom_domains SET deleted_at = now()) UPDATE jobs SET kind = 'revoke'"
    job = await room.claim()
    await room.jobs.settle(job, await Interrupted(room, dns_zone.server.port, deleted).verifier().verify(job))
    assert await room.job_kind(domain_id) == "revoke"


async def test_a_killed_worker_between_the_two_steps_is_taken_up_at_dns_check(room, dns_zone):
    domain_id = await room.register(dns_zone.full("shop"))
    await room.pool.execute("UPDATE custom_domains SET status = 'dns_check' WHERE id = $1", domain_id)
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    assert await room.verify() == Done()
    assert await room.steps(domain_id) == [("verify", "dns_check", "verified")]


async def test_of_200_domains_those_whose_resolution_hangs_hold_up_no_other(database, dns_zone, eventually):
    """20 of the looks can only end after a minute, and 180 domains are verified while all 20 are still hanging."""
    hanging = {dns_zone.full(f"d{number}") for number in range(0, 200, 10)}
    async with opened(database.control_dsn, dns_zone.server.port, timeout=60.0) as room:
        ownership = Ownership([Resolver("127.0.0.1", dns_zone.server.port, 60.0)], TARGET, room.clock, timeout=60.0)
        verifier = Verifier(room.pool, ownership, ACTOR, INTERVAL, room.clock)
        for number in range(200):
            hostname = dns_zone.full(f"d{number}")
            await room.register(hostname)
            if hostname in hanging:
                dns_zone.server.fail(f"_platform-verify.{hostname}", Fault(drop=True))
            else:
                dns_zone.add(f"_platform-verify.d{number}", "TXT", VALUE)
        worker = Worker(room.jobs, "verify", verifier.verify, 200, JobMetrics(CollectorRegistry()))
        running = asyncio.create_task(worker.run())
        try:

            async def others_are_verified():
                rows = await room.pool.fetch("SELECT hostname FROM custom_domains WHERE status = 'verified'")
                return len(rows) == 180 and {row["hostname"] for row in rows}

            verified = await eventually(others_are_verified, timeout=30)
            assert not verified & hanging
            leased = await room.pool.fetchval("SELECT count(*) FROM jobs WHERE kind = 'verify' AND lease_until > now()")
            assert leased == 20
            assert all(dns_zone.server.query_count(f"_platform-verify.{name}") == 1 for name in hanging)
        finally:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
