"""GET /domains/{id}/diagnosis, and what is not one's own on all paths of a domain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from scenes.problems import assert_problem

from control.domains.diagnoses import Diagnoses
from embedded.database import Database

Tenant = Scripted = Any  # tests/integration/api/conftest.py


@pytest.fixture
async def diagnosed(
    database: Database, serve: Callable[..., Any], new_tenant: Callable[..., Tenant], scripted: Scripted
) -> AsyncIterator[Tenant]:
    """A tenant of an API with a diagnosis."""
    async with serve(database.api_dsn, diagnostician=Diagnoses(scripted)) as url:
        yield new_tenant(url)


async def test_a_diagnosis_shows_expected_against_found(diagnosed: Tenant, scripted: Scripted) -> None:
    created = (await diagnosed.add("shop.example.com")).json()
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert response.status_code == 200, response.text
    shown = response.json()
    checked_at = shown.pop("checkedAt")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(checked_at)) < timedelta(minutes=1)
    assert shown == {
        "id": created["id"],
        "hostname": "shop.example.com",
        "ok": False,
        "usable": ["https://ca.test/directory"],
        "checks": [
            {
                "check": "caa",
                "code": "caa_forbids",
                "ok": False,
                "blocking": True,
                "who": "tenant",
                "message": "It forbids us.",
                "expected": ["ca.test"],
                "found": {"issue": ["x"]},
            }
        ],
    }
    assert [domain.hostname for domain in scripted.asked] == ["shop.example.com"]


async def test_a_domain_is_diagnosed_at_a_bounded_pace(
    diagnosed: Tenant, scripted: Scripted, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.domains.requests.DIAGNOSIS_PAUSE", 600.0)  # however slow the machine is
    path = f"/domains/{(await diagnosed.add('shop.example.com')).json()['id']}/diagnosis"
    other = f"/domains/{(await diagnosed.add('www.example.com')).json()['id']}/diagnosis"
    responses = await asyncio.gather(*(diagnosed.client.get(path) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, *[429] * 4]
    refused = next(response for response in responses if response.status_code == 429)
    assert_problem(refused, 429, "diagnosis_too_soon")
    assert 1 <= int(refused.headers["retry-after"]) <= 600
    assert (await diagnosed.client.get(other)).status_code == 200
    assert len(scripted.asked) == 2
    for clock in ("- interval '10 min'", "+ interval '1 day'"):  # a while later; a clock that was set back
        await control.execute(f"UPDATE custom_domains SET diagnosed_at = clock_timestamp() {clock}")
        assert (await diagnosed.client.get(path)).status_code == 200


async def test_a_diagnosis_that_does_not_end_is_503(
    diagnosed: Tenant, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.diagnosis.DEADLINE", 0.05)
    created = (await diagnosed.add("shop.example.com")).json()
    scripted.go_on.clear()
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert_problem(response, 503, "diagnosis_unavailable")
    assert response.headers["retry-after"] == "30"


async def test_only_so_many_diagnoses_are_under_way(
    diagnosed: Tenant, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr("api.diagnosis.AT_ONCE", 2)
    paths = [f"/domains/{(await diagnosed.add(f'd{n}.example.com')).json()['id']}/diagnosis" for n in range(3)]
    scripted.go_on.clear()
    running = [asyncio.create_task(diagnosed.client.get(path)) for path in paths[:2]]

    async def both_run() -> bool:
        return len(scripted.asked) == 2

    await eventually(both_run)
    assert_problem(await diagnosed.client.get(paths[2]), 429, "too_many_requests")
    scripted.go_on.set()
    assert {(await one).status_code for one in running} == {200}
    assert (await diagnosed.client.get(paths[2])).status_code == 200


async def test_one_tenants_diagnoses_leave_room_for_anothers(
    database: Database,
    serve: Callable[..., Any],
    new_tenant: Callable[..., Tenant],
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    monkeypatch.setattr("api.diagnosis.TENANTS_AT_ONCE", 1)
    async with serve(database.api_dsn, diagnostician=Diagnoses(scripted)) as url:
        busy, other = new_tenant(url), new_tenant(url)
        names = [(busy, "a.example.com"), (busy, "b.example.com"), (other, "c.example.com")]
        paths = [f"/domains/{(await who.add(name)).json()['id']}/diagnosis" for who, name in names]
        scripted.go_on.clear()
        first = asyncio.create_task(busy.client.get(paths[0]))
        await eventually(lambda: len(scripted.asked) == 1)
        assert_problem(await busy.client.get(paths[1]), 429, "too_many_requests")
        second = asyncio.create_task(other.client.get(paths[2]))
        await eventually(lambda: len(scripted.asked) == 2)
        scripted.go_on.set()
        assert [(await one).status_code for one in (first, second)] == [200, 200]
        assert (await busy.client.get(paths[1])).status_code == 200


async def test_a_database_that_goes_away_during_a_diagnosis_is_503(diagnosed: Tenant, scripted: Scripted) -> None:
    created = (await diagnosed.add("shop.example.com")).json()
    scripted.failure = asyncpg.ConnectionDoesNotExistError("gone")
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert_problem(response, 503, "database_unavailable")


async def test_without_a_diagnosis_it_is_503(tenant: Tenant) -> None:
    created = (await tenant.add("shop.example.com")).json()
    assert_problem(await tenant.client.get(f"/domains/{created['id']}/diagnosis"), 503, "diagnosis_unavailable")


async def test_anothers_domain_is_not_diagnosed(diagnosed: Tenant, scripted: Scripted, other: Tenant) -> None:
    created = (await other.add("shop.example.com")).json()
    for domain_id in (created["id"], uuid4(), "x"):
        assert_problem(await diagnosed.client.get(f"/domains/{domain_id}/diagnosis"), 404, "domain_not_found")
    assert scripted.asked == []


@pytest.mark.parametrize(
    ("method", "suffix"), [("POST", "/resume"), ("POST", "/renew"), ("GET", "/audit"), ("GET", "/diagnosis")]
)
async def test_what_is_not_ones_own_is_not_found(diagnosed: Tenant, other: Tenant, method: str, suffix: str) -> None:
    foreign = (await other.add("foreign.example.com")).json()["id"]
    for domain_id in (foreign, str(uuid4()), "1", foreign.replace("-", "")):
        response = await diagnosed.client.request(method, f"/domains/{domain_id}{suffix}")
        assert foreign not in json.dumps(assert_problem(response, 404, "domain_not_found"))
