"""The operator says which service a tenant and a domain are sent to."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from scenes.operators import SPEC, Admin, client, refused


@pytest.fixture
async def domain(admin: Admin, issuer: Any) -> dict[str, Any]:
    """Registered by a tenant: {tenant, id, hostname}."""
    tenant = uuid4()
    async with client(admin.url, issuer.token(tenant)) as one:
        response = await one.post("/domains", json={"hostname": "shop.example.com"})
        return {"tenant": str(tenant), "id": response.json()["id"], "hostname": "shop.example.com"}


async def test_a_service_is_chosen_for_a_tenant_and_for_a_domain(
    admin: Admin, domain: dict[str, Any], control: Any, edge_changes: Any
) -> None:
    await admin.made("/admin/services/shop", SPEC)
    await admin.made("/admin/services/blog", SPEC)
    of_tenant, of_domain = f"/admin/tenants/{domain['tenant']}/service", f"/admin/domains/{domain['id']}/service"
    nothing = {"tenant": domain["tenant"], "domain": None, "service": None, "updatedAt": None}
    assert (await admin.client.get(of_tenant)).json() == nothing
    assert (await admin.client.get(of_domain)).json() == {**nothing, "domain": domain["id"]}

    before = await edge_changes()
    chosen = await admin.made(of_tenant, {"service": "shop"})
    assert (chosen["service"], chosen["domain"]) == ("shop", None)
    assert await admin.made(of_tenant, {"service": "shop"}) == chosen
    assert (await admin.made(of_domain, {"service": "blog"}))["service"] == "blog"
    assert await edge_changes() == before + 2
    rows = await control.fetch(
        "SELECT tenant_id::text, domain_id::text, service FROM service_choices_v1 ORDER BY service"
    )
    assert [tuple(row) for row in rows] == [
        (domain["tenant"], domain["id"], "blog"),
        (domain["tenant"], None, "shop"),
    ]
    shop = (await admin.client.get("/admin/services/shop")).json()
    assert shop["chosenBy"] == {"tenants": 1, "domains": 0}

    for name in ("shop", "blog"):
        assert refused(await admin.client.delete(f"/admin/services/{name}")) == (409, "service_in_use", None)
    await admin.made("/admin/services/shop", {**SPEC, "protocol": "http2"})  # replaced while it is in use
    for path in (of_tenant, of_domain):
        assert (await admin.client.delete(path)).status_code == 204
        assert refused(await admin.client.delete(path)) == (404, "choice_not_found", None)
    for name in ("shop", "blog"):
        assert (await admin.client.delete(f"/admin/services/{name}")).status_code == 204


async def test_a_deleted_domains_choice_keeps_no_service(
    admin: Admin, domain: dict[str, Any], issuer: Any, control: Any
) -> None:
    await admin.made("/admin/services/shop", SPEC)
    await admin.made(f"/admin/domains/{domain['id']}/service", {"service": "shop"})
    async with client(admin.url, issuer.token(UUID(domain["tenant"]))) as tenant:
        assert (await tenant.delete(f"/domains/{domain['id']}")).status_code == 204
    assert await control.fetch("SELECT * FROM service_choices_v1") == []
    assert refused(await admin.client.get(f"/admin/domains/{domain['id']}/service")) == (404, "domain_not_found", None)
    assert (await admin.client.delete("/admin/services/shop")).status_code == 204


async def test_what_cannot_be_chosen(admin: Admin, domain: dict[str, Any]) -> None:
    await admin.made("/admin/services/shop", SPEC)
    of_tenant, chosen = f"/admin/tenants/{domain['tenant']}/service", {"service": "shop"}
    for service in ("nope", "Not a name", ""):
        assert refused(await admin.put(of_tenant, {"service": service})) == (422, "service_unknown", "/service")
    assert refused(await admin.put(of_tenant, {"service": None})) == (422, "wrong_type", "/service")
    assert refused(await admin.put(f"/admin/tenants/{uuid4()}/service", chosen)) == (404, "tenant_not_found", None)
    assert refused(await admin.put("/admin/tenants/x/service", chosen)) == (404, "tenant_not_found", None)
    assert refused(await admin.put(f"/admin/domains/{uuid4()}/service", chosen)) == (404, "domain_not_found", None)
    assert refused(await admin.put(of_tenant, chosen, **{"If-Match": '"x"'})) == (412, "precondition_failed", None)


async def test_tenants_are_not_told_which_service_is_theirs(
    admin: Admin, domain: dict[str, Any], issuer: Any, control: Any
) -> None:
    await admin.made("/admin/services/secret-project", SPEC)
    await admin.made(f"/admin/domains/{domain['id']}/service", {"service": "secret-project"})
    async with client(admin.url, issuer.token(UUID(domain["tenant"]))) as tenant:
        for path in ("", "/audit"):
            assert "secret-project" not in (await tenant.get(f"/domains/{domain['id']}{path}")).text
    row = await control.fetchrow("SELECT * FROM audit WHERE action = 'choice_put'")
    assert (str(row["domain_id"]), row["hostname"], row["tenant_id"]) == (domain["id"], domain["hostname"], UUID(int=0))
    detail = {"tenant": domain["tenant"], "service": "secret-project", "before": None}
    assert json.loads(row["detail"]) == detail
