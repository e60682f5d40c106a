"""GET /domains/{id}/audit, on a real database."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from scenes.problems import assert_problem
from scenes.years import domain

Tenant = Any  # tests/integration/api/conftest.py


async def test_the_audit_is_shown_newest_first_page_by_page(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "paused")
    await tenant.client.post(f"/domains/{domain_id}/resume")
    await control.execute(
        """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail)
           VALUES ($1, $2, 'shop.example.com', 'control:host-1', 'ssl_error', '{"finding": "rate_limited"}')""",
        tenant.id,
        domain_id,
    )
    await tenant.client.delete(f"/domains/{domain_id}")
    seen: list[dict[str, Any]] = []
    path = f"/api/v1/domains/{domain_id}/audit?limit=1"
    while True:
        response = await tenant.client.get(str(tenant.client.base_url).split("/api")[0] + path)
        body = response.json()
        seen += body["data"]
        if body["nextCursor"] is None:
            assert "link" not in response.headers
            break
        path = response.headers["link"].partition(">")[0][1:]
        assert f"cursor={body['nextCursor']}" in path
    assert [(entry["actor"], entry["action"]) for entry in seen] == [
        ("tenant:alice", "delete"),
        ("platform", "ssl_error"),
        ("tenant:alice", "ssl_resume"),
        ("tenant:alice", "add"),
    ]
    assert seen[1]["detail"] == {"finding": "rate_limited"}
    assert {entry["hostname"] for entry in seen} == {"shop.example.com"}
    ids = [entry["id"] for entry in seen]
    assert ids == sorted(ids, reverse=True)
    assert (await tenant.client.get(f"/domains/{domain_id}/audit")).json() == {"data": seen, "nextCursor": None}


async def test_anothers_audit_is_not_found(tenant: Tenant, other: Tenant) -> None:
    created = (await other.add("shop.example.com")).json()
    for domain_id in (created["id"], uuid4(), "x"):
        assert_problem(await tenant.client.get(f"/domains/{domain_id}/audit"), 404, "domain_not_found")


async def test_a_name_that_changed_hands_shows_each_tenant_its_own_years(
    tenant: Tenant, other: Tenant, control: Any
) -> None:
    first = await domain(other, control, "moved", "issued")
    second = (await tenant.add("shop.example.com")).json()["id"]
    mine = (await tenant.client.get(f"/domains/{second}/audit")).json()["data"]
    assert [entry["action"] for entry in mine] == ["add"]
    assert_problem(await tenant.client.get(f"/domains/{first}/audit"), 404, "domain_not_found")


@pytest.mark.parametrize("cursor", ["", "x", "AAAAAAAAAAAAAAAA", "A" * 38])
async def test_a_cursor_that_nobody_made_is_refused(tenant: Tenant, cursor: str) -> None:
    created = (await tenant.add("shop.example.com")).json()
    response = await tenant.client.get(f"/domains/{created['id']}/audit", params={"cursor": cursor})
    assert assert_problem(response, 400, "invalid_cursor")["parameter"] == "cursor"
