"""Names that are looked at again: real DNS servers, a real PostgreSQL, and a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from dns.rcode import Rcode
from scenes.watch import APEX, FOREIGN, INTERVAL, MINE, Room

from control.domains import watch
from core.domain import Finding
from embedded.dns import Fault


@pytest.fixture
async def room(pool: asyncpg.Pool[Any], dns_zone: Any) -> AsyncIterator[Room]:
    async with Room.open(pool, dns_zone) as room:
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
