"""GET /domains/{id}/propagation: which change is asked about, and what is counted of what the sidecars say."""

from __future__ import annotations

from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.problems import assert_problem

from control.certificates.propagation import HEARD_ALL, Propagation
from control.housekeeping import tidy
from core.feed import Reached, Rejected, Sighting, digest_of

Tenant = Any  # tests/integration/api/conftest.py

HOST = "shop.example.com"
VERIFY = "UPDATE custom_domains SET status = 'verified' WHERE id = $1 RETURNING pg_current_xact_id()::text::bigint"


@pytest.fixture
async def heard(serve, database, new_tenant):
    """What a replica has heard, and a tenant of it."""
    begun = monotonic()
    clock = [begun]
    propagation = Propagation(lambda: clock[0])
    clock[0] += HEARD_ALL
    async with serve(database.api_dsn, witness=propagation) as url:
        yield propagation, new_tenant(url)


async def added(tenant: Tenant, hostname: str = HOST) -> str:
    response = await tenant.add(hostname)
    assert response.status_code == 201
    return str(response.json()["id"])


async def shown(tenant: Tenant, domain_id: str) -> dict[str, Any]:
    response = await tenant.client.get(f"/domains/{domain_id}/propagation")
    assert response.status_code == 200, response.text
    return response.json()


async def test_nothing_is_proven_while_nobody_was_heard(tenant: Tenant) -> None:
    body = await shown(tenant, await added(tenant))
    assert body.pop("generation") >= 0
    assert body == {
        "sidecars": {"live": 0, "have": 0, "silent": 0},
        "envoys": {"connected": 0, "acknowledged": 0, "rejected": 0},
        "heardAge": None,
        "complete": False,
    }


async def test_the_last_change_of_the_domain_is_counted(heard, control: asyncpg.Connection[Any]) -> None:
    propagation, tenant = heard
    domain_id = await added(tenant)
    other = await added(tenant, "other.example.com")
    xid = await control.fetchval(VERIFY, UUID(domain_id))
    propagation.heard(Sighting("one", xid + 1, (), (Reached(2, xid + 1), Reached(1, xid))).to_payload())
    propagation.heard(Sighting("two", xid, (), (Reached(1, xid),)).to_payload())
    body = await shown(tenant, domain_id)
    assert body["generation"] == xid
    assert body["sidecars"] == {"live": 2, "have": 1, "silent": 0}
    assert body["envoys"] == {"connected": 4, "acknowledged": 2, "rejected": 0}
    assert body["complete"] is False
    assert 0 <= body["heardAge"] < 15
    propagation.heard(Sighting("one", xid + 1, (), (Reached(3, xid + 1),)).to_payload())
    propagation.heard(Sighting("two", xid, (xid,), (Reached(1, xid, (xid,)),)).to_payload())
    assert (await shown(tenant, domain_id))["complete"] is True
    assert (await shown(tenant, other))["generation"] < xid


async def test_an_envoy_that_rejects_the_certificate_and_a_sidecar_that_does_not_count_are_no_proof(
    heard, control: asyncpg.Connection[Any]
) -> None:
    propagation, tenant = heard
    domain_id = await added(tenant)
    xid = await control.fetchval(VERIFY, UUID(domain_id))
    rejected = Rejected({digest_of(HOST): 1})
    propagation.heard(Sighting("one", xid + 1, (), (Reached(3, xid + 1),), rejected).to_payload())
    body = await shown(tenant, domain_id)
    assert body["envoys"] == {"connected": 3, "acknowledged": 2, "rejected": 1}
    assert body["complete"] is False
    propagation.heard(Sighting("one", xid + 1, (), (Reached(3, xid + 1),)).to_payload())
    assert (await shown(tenant, domain_id))["complete"] is True
    propagation.heard(f'{{"id": "of the release before", "position": {xid + 1}, "ahead": []}}')
    body = await shown(tenant, domain_id)
    assert body["sidecars"] == {"live": 2, "have": 2, "silent": 1}
    assert body["complete"] is False


async def test_a_change_that_was_pruned_has_been_seen_by_all_that_read_on(
    heard, control: asyncpg.Connection[Any], database
) -> None:
    propagation, tenant = heard
    domain_id = await added(tenant)
    xid = await control.fetchval(VERIFY, UUID(domain_id))
    async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=2) as pool:
        await pool.execute("DELETE FROM changes")
        await pool.execute("UPDATE feed SET pruned_xid = $1::text::xid8", str(xid))
        assert await tidy(pool)
    assert (await shown(tenant, domain_id))["generation"] == xid
    propagation.heard(Sighting("one", xid + 1, (), ()).to_payload())
    assert (await shown(tenant, domain_id))["complete"] is True


async def test_what_all_domains_share_counts_for_each(heard, control: asyncpg.Connection[Any]) -> None:
    _, tenant = heard
    domain_id = await added(tenant)
    before = await control.fetchval(VERIFY, UUID(domain_id))
    xid = await control.fetchval(
        "INSERT INTO changes (kind, key) VALUES ('edge', '') RETURNING pg_current_xact_id()::text::bigint"
    )
    assert before < xid == (await shown(tenant, domain_id))["generation"]


async def test_the_end_of_a_domain_is_a_change_too(heard, control: asyncpg.Connection[Any]) -> None:
    _, tenant = heard
    domain_id = await added(tenant)
    before = await control.fetchval(VERIFY, UUID(domain_id))
    assert (await tenant.client.delete(f"/domains/{domain_id}")).status_code == 204
    assert (await shown(tenant, domain_id))["generation"] > before


async def test_another_tenants_domain_is_none(tenant: Tenant, other: Tenant) -> None:
    domain_id = await added(tenant)
    for wanted in (domain_id, str(uuid4()), "x"):
        response = await other.client.get(f"/domains/{wanted}/propagation")
        assert_problem(response, 404, "domain_not_found")
    response = await tenant.client.get(f"/domains/{domain_id}/propagation?x=1")
    assert_problem(response, 400, "unknown_parameter")


async def test_the_function_is_for_the_tenants_own_domains_alone(
    tenant: Tenant, control: asyncpg.Connection[Any], database
) -> None:
    domain_id = UUID(await added(tenant))
    api = await asyncpg.connect(database.api_dsn)
    try:
        ask = "SELECT domain_generation_v1($1)"
        assert await api.fetchval(ask, domain_id) is None
        async with api.transaction():
            await api.execute("SELECT set_config('app.current_tenant', $1, true)", str(uuid4()))
            assert await api.fetchval(ask, domain_id) is None
            await api.execute("SELECT set_config('app.current_tenant', $1, true)", str(tenant.id))
            assert await api.fetchval(ask, domain_id) is not None
    finally:
        await api.close()
