"""Names that are looked at again: real DNS servers, a real PostgreSQL, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from dns.rcode import Rcode

from control.dns.presence import Presence
from control.dns.resolver import Resolver
from control.domains import watch
from control.domains.watch import Watch
from core.domain import Domain, Finding
from embedded.database import Database
from embedded.dns import DnsServer, Fault

PLATFORM = "platform.test"
INTERVAL = timedelta(hours=6)
MINE, APEX, FOREIGN = "192.0.2.1", "192.0.2.7", "198.51.100.9"


@dataclass(slots=True)
class Room:
    """A platform and one watch. `zone`: of the tenant's names."""

    pool: asyncpg.Pool[Any]
    servers: list[DnsServer]
    zone: str
    target: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    behind_proxy: set[str] = field(default_factory=set)
    raising: dict[str, Exception] = field(default_factory=dict)
    delegation: str = "delegation_missing"
    patience: float = 5.0  # seconds for a resolver

    def clock(self) -> datetime:
        return self.now

    def watch(self, apex: tuple[str, ...] = (APEX,)) -> Watch:
        async def probe(domain: Domain, addresses: frozenset[str]) -> bool:
            assert addresses
            if domain.hostname in self.raising:
                raise self.raising[domain.hostname]
            return domain.hostname in self.behind_proxy

        async def look_at_delegation(_domain: Domain) -> Finding:
            return Finding(self.delegation, "", "nobody", self.now, {})

        resolvers = [Resolver("127.0.0.1", server.port, self.patience) for server in self.servers]
        presence = Presence(resolvers, self.target, apex, self.clock, 3 * self.patience, look_at_delegation, probe)
        return Watch(self.pool, presence, "control:test", self.clock, INTERVAL)

    async def domain(self, label: str = "shop", *, status: str = "active", ssl: str = "issued") -> UUID:
        """Of a tenant of its own, due at once."""
        async with self.pool.acquire() as connection, connection.transaction():
            tenant = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id"
            )
            domain_id: UUID = await connection.fetchval(
                """INSERT INTO custom_domains
                       (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status, look_at)
                   VALUES ($1, $2, 'token', now(), $3, $4, $5) RETURNING id""",
                tenant,
                self.full(label),
                status,
                ssl,
                self.now,
            )
        return domain_id

    def full(self, label: str) -> str:
        return self.zone if label == "@" else f"{label}.{self.zone}"

    async def own_target(self, domain_id: UUID) -> str:
        label = await self.pool.fetchval(
            "SELECT target_label FROM tenants WHERE id = (SELECT tenant_id FROM custom_domains WHERE id = $1)",
            domain_id,
        )
        return f"{label}.{self.target}."

    def point(self, label: str, rdtype: str, *values: str) -> None:
        for server in self.servers:
            for kind in ("A", "AAAA", "CNAME"):
                server.remove(self.full(label), kind)
            for value in values:
                server.add(self.full(label), rdtype, value)

    async def look(self, times: int = 1) -> None:
        """Let so many looks come, each when its time has come."""
        for _ in range(times):
            due = await self.pool.fetchval("SELECT max(look_at) FROM custom_domains WHERE deleted_at IS NULL")
            self.now = max(self.now, due)
            assert await self.watch().round() > 0

    async def row(self, domain_id: UUID) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT * FROM custom_domains WHERE id = $1", domain_id)

    async def status(self, domain_id: UUID) -> str:
        return str((await self.row(domain_id))["status"])

    async def finding(self, domain_id: UUID) -> str | None:
        stored = (await self.row(domain_id))["dns_finding"]
        return None if stored is None else str(json.loads(stored)["code"])

    async def steps(self, domain_id: UUID) -> list[str]:
        rows = await self.pool.fetch("SELECT event FROM outbox WHERE domain_id = $1 ORDER BY id", domain_id)
        return [row["event"] for row in rows]


@pytest.fixture
async def room(pool: asyncpg.Pool[Any], dns_zone: Any) -> AsyncIterator[Room]:
    """Two resolvers with the same zones."""
    target = f"custom.{dns_zone.full('platform')}"
    async with DnsServer.start() as second:
        second.add_zone(dns_zone.origin)
        room = Room(pool, [dns_zone.server, second], dns_zone.origin, target)
        for server in room.servers:
            for name in (target, f"*.{target}"):
                server.add(name, "A", MINE)
        yield room


# --- what is here


async def test_a_name_at_its_tenants_target_is_here(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "CNAME", await room.own_target(domain_id))
    await room.look(5)
    row = await room.row(domain_id)
    assert (row["status"], row["misses"], row["looked_at"]) == ("active", 0, room.now)
    assert row["arrived_at"] is not None
    assert await room.steps(domain_id) == []


@pytest.mark.parametrize(
    ("rdtype", "values"),
    [
        ("CNAME", ["the shared target"]),
        ("A", [APEX]),
        ("A", [MINE]),
        ("A", [APEX, MINE]),
    ],
    ids=["shared target", "apex", "flattened", "both"],
)
async def test_a_name_that_leads_here_otherwise_is_here(room: Room, rdtype: str, values: list[str]) -> None:
    domain_id = await room.domain()
    room.point("shop", rdtype, *[room.target + "." if value == "the shared target" else value for value in values])
    await room.look(5)
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)


async def test_a_name_behind_a_proxy_is_here(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    room.behind_proxy.add(room.full("shop"))
    await room.look(5)
    assert await room.status(domain_id) == "active"


async def test_a_name_with_some_addresses_elsewhere_is_told_so_and_stays(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", APEX, FOREIGN)
    await room.look(5)
    assert (await room.status(domain_id), await room.finding(domain_id)) == ("active", "addresses_mixed")
    assert (await room.row(domain_id))["misses"] == 0


# --- what has left


@pytest.mark.parametrize(
    ("rdtype", "values", "code"),
    [
        ("A", [FOREIGN], "addresses_elsewhere"),
        ("AAAA", ["2001:db8::9"], "addresses_elsewhere"),
        ("CNAME", ["nowhere.invalid-target.test."], "name_missing"),
        ("TXT", ["still there"], "no_address"),
        ("A", [], "name_missing"),
    ],
    ids=["address", "v6 address", "dangling", "nodata", "nxdomain"],
)
async def test_a_name_that_three_looks_miss_has_moved(room: Room, rdtype: str, values: list[str], code: str) -> None:
    if "invalid-target" in "".join(values):
        for server in room.servers:
            server.add_zone("invalid-target.test")
    domain_id = await room.domain()
    room.point("shop", rdtype, *values)
    await room.look(2)
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 2)
    assert await room.finding(domain_id) == code, "the tenant sees it before the name has moved"
    await room.look()
    assert await room.status(domain_id) == "moved"
    assert await room.steps(domain_id) == ["domain.move_away"]
    detail = json.loads(await room.pool.fetchval("SELECT detail FROM audit WHERE domain_id = $1", domain_id))
    assert detail == {"event": "moved_away", "from": "active", "to": "moved", "misses": 3, "finding": code}
    for server in room.servers:
        server.remove_zone("invalid-target.test")


async def test_a_name_at_another_tenants_target_has_moved_though_its_addresses_are_ours(room: Room) -> None:
    other, domain_id = await room.domain("other"), await room.domain()
    room.point("other", "CNAME", await room.own_target(other))
    room.point("shop", "CNAME", await room.own_target(other))
    await room.look(3)
    assert [await room.status(one) for one in (other, domain_id)] == ["active", "moved"]
    assert await room.finding(domain_id) == "at_other_tenant"


async def test_the_looks_that_decide_come_sooner(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", APEX)
    await room.look()
    assert (await room.row(domain_id))["look_at"] - room.now >= INTERVAL * (1 - watch.JITTER)
    room.point("shop", "A", FOREIGN)
    await room.look()
    assert (await room.row(domain_id))["look_at"] - room.now <= INTERVAL / 12 * (1 + watch.JITTER)


async def test_a_hit_between_the_misses_starts_the_count_anew(room: Room) -> None:
    domain_id = await room.domain()
    for _ in range(3):
        room.point("shop", "A", FOREIGN)
        await room.look(2)
        room.point("shop", "A", APEX)
        await room.look()
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)
    assert await room.finding(domain_id) == "at_platform", "the tenant sees that it is mended"


# --- what says nothing


@pytest.mark.parametrize(
    "fault",
    [Fault(rcode=Rcode.SERVFAIL), Fault(rcode=Rcode.REFUSED), Fault(drop=True)],
    ids=["servfail", "refused", "silent"],
)
@pytest.mark.parametrize("failing", [1, 2], ids=["one resolver", "both"])
async def test_a_resolver_that_fails_is_no_miss(room: Room, fault: Fault, failing: int) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    room.patience = 0.1  # what fails need not be waited for
    for server in room.servers[:failing]:
        server.fail(room.full("shop"), fault)
    await room.look(5)
    for server in room.servers:
        server.heal(room.full("shop"))
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)


async def test_resolvers_that_disagree_are_no_miss(room: Room) -> None:
    domain_id = await room.domain()
    room.servers[0].add(room.full("shop"), "A", FOREIGN)
    room.servers[1].add(room.full("shop"), "A", APEX)
    await room.look(5)
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)


async def test_while_the_platforms_own_target_has_no_address_no_address_is_a_miss(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    for server in room.servers:
        server.remove(f"*.{room.target}")
    await room.look(5)
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)


@pytest.mark.parametrize("status", ["pending", "dns_check", "verified", "failed"])
async def test_a_name_in_another_state_is_not_looked_at(room: Room, status: str) -> None:
    await room.domain(status=status)
    assert await room.watch().round() == 0


async def test_a_deleted_name_is_not_looked_at(room: Room) -> None:
    await room.domain()
    await room.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    assert await room.watch().round() == 0


# --- what comes back


async def test_a_name_comes_back_at_the_first_look_that_finds_it(room: Room) -> None:
    domain_id = await room.domain()
    await room.look(5)
    assert await room.status(domain_id) == "moved"
    room.point("shop", "CNAME", await room.own_target(domain_id))
    await room.look()
    row = await room.row(domain_id)
    assert (row["status"], row["misses"], await room.finding(domain_id)) == ("active", 0, "at_platform")
    assert await room.steps(domain_id) == ["domain.move_away", "domain.come_back"]
    assert await room.pool.fetchval("SELECT count(*) FROM jobs") == 0, "its certificate has time"


@pytest.mark.parametrize(
    ("ssl", "job"), [("expiring", "obtain"), ("error", "obtain"), ("paused", None), ("renewed", None)]
)
async def test_a_renewal_that_was_due_goes_on_when_the_name_is_back(room: Room, ssl: str, job: str | None) -> None:
    domain_id = await room.domain(status="moved", ssl=ssl)
    room.point("shop", "A", APEX)
    await room.look()
    assert await room.status(domain_id) == "active"
    assert await room.pool.fetchval("SELECT kind FROM jobs WHERE domain_id = $1", domain_id) == job


async def test_a_moved_name_is_looked_at_more_and_more_seldom(room: Room) -> None:
    domain_id = await room.domain(status="moved")
    pauses = []
    for _ in range(9):
        await room.look()
        pauses.append((await room.row(domain_id))["look_at"] - room.now)
    assert pauses[3] < pauses[8]
    assert INTERVAL * (1 - watch.JITTER) <= pauses[8] <= INTERVAL * (1 + watch.JITTER)
    assert await room.steps(domain_id) == []


# --- a name that another tenant has proved


async def rival(room: Room, label: str = "shop") -> UUID:
    domain_id = await room.domain(label, status="dns_check")
    finding = Finding("hostname_in_use", "In use.", "tenant", room.now, {}).to_json()
    await room.pool.execute("UPDATE custom_domains SET dns_finding = $2 WHERE id = $1", domain_id, finding)
    return domain_id


async def test_who_has_neither_target_nor_token_loses_a_name_that_another_has_proved(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", APEX)
    await rival(room)
    await room.pool.execute("UPDATE custom_domains SET look_at = $2 WHERE id = $1", domain_id, room.now)
    await room.look(3)
    assert (await room.status(domain_id), await room.finding(domain_id)) == ("moved", "ownership_contested")


@pytest.mark.parametrize("proof", ["token", "target", "silence"])
async def test_a_proof_of_ones_own_stands_against_a_rival(room: Room, proof: str) -> None:
    domain_id = await room.domain()
    txt_name = f"_platform-verify.{room.full('shop')}"
    room.point("shop", "A", APEX)
    if proof == "target":
        room.point("shop", "CNAME", await room.own_target(domain_id))
    elif proof == "token":
        room.servers[0].add(txt_name, "TXT", "verify-token")  # one resolver is enough
    else:
        room.servers[1].fail(txt_name, Fault(rcode=Rcode.SERVFAIL))
    await rival(room)
    await room.look(4)
    room.servers[1].heal(txt_name)
    assert (await room.status(domain_id), (await room.row(domain_id))["misses"]) == ("active", 0)


# --- names that are kept by the delegation of their challenge


async def test_a_certificate_that_came_before_the_traffic_is_kept_by_its_delegation(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    room.delegation = "delegation_found"
    await room.look(4)
    assert await room.status(domain_id) == "active"
    room.point("shop", "A", APEX)
    await room.look()
    room.point("shop", "A", FOREIGN)
    await room.look(3)
    assert await room.status(domain_id) == "moved", "it had arrived, and has left"


@pytest.mark.parametrize(
    ("delegation", "status"),
    [("delegation_found", "active"), ("dns_servfail", "active"), ("delegation_missing", "moved")],
)
async def test_a_wildcard_is_kept_by_its_delegation(room: Room, delegation: str, status: str) -> None:
    domain_id = await room.domain("*.shop")
    room.delegation = delegation
    await room.look(4)
    assert await room.status(domain_id) == status


async def test_a_wildcard_whose_names_lead_here_is_here(room: Room) -> None:
    domain_id = await room.domain("*.shop")
    room.point("*.shop", "CNAME", await room.own_target(domain_id))
    await room.look(4)
    assert await room.status(domain_id) == "active"


# --- many names, many replicas, and what goes wrong


async def test_replicas_share_the_names_and_no_miss_counts_twice(room: Room) -> None:
    ids = [await room.domain(f"d{number}") for number in range(60)]
    for number in range(60):
        room.point(f"d{number}", "A", FOREIGN)
    looked = await asyncio.gather(*(room.watch().round() for _ in range(4)))
    assert sum(looked) == 60
    assert {(await room.row(one))["misses"] for one in ids} == {1}


async def test_a_look_that_outlived_its_lease_changes_nothing(room: Room) -> None:
    domain_id = await room.domain()
    slow = room.watch()
    [turn] = await slow._take(1)
    room.now += watch.LEASE
    await room.look()
    before = await room.row(domain_id)
    assert before["misses"] == 1
    await slow._look(turn)
    assert await room.row(domain_id) == before


async def test_a_name_deleted_during_the_look_is_left_alone(room: Room) -> None:
    domain_id = await room.domain()
    slow = room.watch()
    [turn] = await slow._take(1)
    await room.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    await slow._look(turn)
    assert (await room.row(domain_id))["misses"] == 0


async def test_a_look_that_fails_holds_up_no_other(room: Room) -> None:
    ids = [await room.domain(label) for label in ("away", "broken", "sound")]
    room.raising = {room.full("away"): ConnectionResetError(), room.full("broken"): ZeroDivisionError()}
    for label in ("away", "broken", "sound"):
        room.point(label, "A", FOREIGN)
    await room.look()
    assert [(await room.row(one))["misses"] for one in ids] == [0, 0, 1]
    assert {(await room.row(one))["look_at"] for one in ids[:2]} == {room.now + watch.LEASE}, "they have another turn"


async def test_a_clock_that_was_years_ahead_keeps_no_name_from_its_look(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    now = room.now
    room.now += timedelta(days=1000)
    await room.watch().round()
    room.now = now + timedelta(minutes=1)
    assert await room.watch().round() == 0
    row = await room.row(domain_id)
    assert (row["status"], row["misses"]) == ("active", 1), "one look is one miss, however far the clock went"
    assert room.now <= row["look_at"] <= room.now + INTERVAL


async def test_names_whose_dns_hangs_hold_up_no_other(room: Room, eventually: Any) -> None:
    hanging = [await room.domain(f"hanging{number}") for number in range(10)]
    sound = [await room.domain(f"sound{number}") for number in range(2 * watch.CONCURRENCY)]
    room.patience = 600.0
    for number in range(10):
        room.servers[0].fail(room.full(f"hanging{number}"), Fault(drop=True))
    for number in range(len(sound)):
        room.point(f"sound{number}", "A", APEX)
    running = asyncio.create_task(room.watch().run())
    try:

        async def all_but_the_hanging() -> bool:
            rows = await room.pool.fetch("SELECT id FROM custom_domains WHERE looked_at IS NOT NULL")
            return {row["id"] for row in rows} == set(sound)

        await eventually(all_but_the_hanging, timeout=30)
        assert not running.done()
        assert {(await room.row(one))["misses"] for one in hanging} == {0}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_watch_survives_that_postgresql_cuts_its_connections(
    room: Room, database: Database, eventually: Any
) -> None:
    domain_id = await room.domain()
    running = asyncio.create_task(room.watch().run())
    try:
        superuser = await asyncpg.connect(database.superuser_dsn)
        await superuser.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await superuser.close()

        async def looked() -> bool:
            room.now += timedelta(hours=1)
            try:
                return await room.pool.fetchval("SELECT misses FROM custom_domains WHERE id = $1", domain_id) >= 3
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False

        assert await eventually(looked, timeout=30)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_names_whose_turn_it_is_are_found_by_an_index(database: Database) -> None:
    connection = await asyncpg.connect(database.superuser_dsn)
    try:
        await connection.execute("SET enable_seqscan = off")
        taken = watch.TAKE.replace("$1::timestamptz", "now()").replace("$1", "now()")
        plan = await connection.fetch(f"EXPLAIN {taken.replace('$2', chr(39) + '1 min' + chr(39)).replace('$3', '50')}")
    finally:
        await connection.close()
    assert "idx_domains_look" in "\n".join(row[0] for row in plan)
