"""The operator describes upstream services, and what they need."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
from scenes.operators import BUNDLE, PAIR, SPEC, TLS_SPEC, Admin, audited, refused

from core.service import Service
from embedded.database import Database


async def test_a_service_is_made_shown_replaced_and_removed(admin: Admin, control: Any, edge_changes: Any) -> None:
    made = await admin.put("/admin/services/shop", SPEC)
    assert made.status_code == 201
    assert made.json()["spec"] == Service.from_json("shop", SPEC).to_json()
    assert made.json()["chosenBy"] == {"tenants": 0, "domains": 0}
    shown = await admin.client.get("/admin/services/shop")
    assert (shown.json(), shown.headers["etag"]) == (made.json(), made.headers["etag"])
    assert (await admin.client.get("/admin/services")).json() == {"data": [made.json()]}

    again = await admin.put("/admin/services/shop", shown.json()["spec"])
    assert (again.status_code, again.json()) == (200, made.json())
    assert await edge_changes() == 1

    replaced = await admin.put("/admin/services/shop", {**SPEC, "protocol": "http2"})
    assert (replaced.status_code, replaced.json()["spec"]["protocol"]) == (200, "http2")
    assert replaced.headers["etag"] != made.headers["etag"]
    assert await edge_changes() == 2

    assert (await admin.client.delete("/admin/services/shop")).status_code == 204
    assert refused(await admin.client.get("/admin/services/shop")) == (404, "service_not_found", None)
    assert await edge_changes() == 3
    actors, actions, details = zip(*await audited(control), strict=True)
    assert set(actors) == {"operator:root@platform"}
    assert actions == ("service_put", "service_put", "service_delete")
    assert details[1] == {"service": "shop", "spec": replaced.json()["spec"]}


async def test_sidecars_read_what_was_written(admin: Admin, database: Database) -> None:
    await admin.made("/admin/services/shop", SPEC)
    sidecar = await asyncpg.connect(database.sidecar_dsn)
    try:
        (row,) = await sidecar.fetch("SELECT name, spec FROM services_v1")
    finally:
        await sidecar.close()
    assert Service.from_json(row["name"], json.loads(row["spec"])) == Service.from_json("shop", SPEC)


BAD_SERVICES: list[tuple[Any, Any]] = [
    ({}, (422, "missing_field", "/addresses")),
    ([], (422, "wrong_type", "")),
    ({"addresses": []}, (422, "value_out_of_range", "/addresses")),
    ({**SPEC, "adresses": []}, (422, "unknown_field", "/adresses")),
    ({**SPEC, "protocol": "h3"}, (422, "value_unknown", "/protocol")),
    ({**SPEC, "idleTimeoutMs": 1}, (422, "value_out_of_range", "/idleTimeoutMs")),
    ({"addresses": [{"host": "a b", "port": 1}]}, (422, "service_address_invalid", "/addresses/0/host")),
    ({**SPEC, "tls": {"sni": "a.b"}}, (422, "trust_unknown", "/tls/trust")),
    ({**SPEC, "tls": {"sni": "a.b", "trust": "nope"}}, (422, "trust_unknown", "/tls/trust")),
    ({**SPEC, "tls": {"sni": "a.b", "trust": "system", "identity": "x"}}, (422, "identity_unknown", "/tls/identity")),
    ({**SPEC, "healthCheck": {"path": "x"}}, (422, "service_path_invalid", "/healthCheck/path")),
]


async def test_a_bad_service_is_refused_with_its_place(admin: Admin, control: Any) -> None:
    for body, answer in BAD_SERVICES:
        assert refused(await admin.put("/admin/services/shop", body)) == answer
    assert await control.fetchval("SELECT count(*) FROM services") == 0
    assert await audited(control) == []


async def test_what_a_service_needs_cannot_be_removed(admin: Admin) -> None:
    await admin.made("/admin/trust/internal", BUNDLE)
    await admin.made("/admin/identities/edge", PAIR)
    await admin.made("/admin/services/shop", TLS_SPEC)
    for path, code in (("/admin/trust/internal", "trust_in_use"), ("/admin/identities/edge", "identity_in_use")):
        response = await admin.client.delete(path)
        assert refused(response) == (409, code, None)
        assert "shop" in response.json()["detail"]
        assert (await admin.client.get(path)).json()["usedBy"] == ["shop"]
    await admin.made("/admin/services/shop", SPEC)
    for path in ("/admin/trust/internal", "/admin/identities/edge"):
        assert (await admin.client.delete(path)).status_code == 204


async def test_the_default_bundle_is_needed_by_those_who_name_none(admin: Admin) -> None:
    spec = {**SPEC, "tls": {"sni": "shop.internal"}}
    assert refused(await admin.put("/admin/services/shop", spec)) == (422, "trust_unknown", "/tls/trust")
    await admin.made("/admin/trust/default", BUNDLE)
    await admin.made("/admin/services/shop", spec)
    assert refused(await admin.client.delete("/admin/trust/default")) == (409, "trust_in_use", None)
    await admin.made("/admin/services/shop", {**SPEC, "tls": {"sni": "shop.internal", "trust": "system"}})
    assert (await admin.client.delete("/admin/trust/default")).status_code == 204


async def test_an_identity_that_is_being_removed_is_not_to_be_named(admin: Admin) -> None:
    await admin.made("/admin/trust/internal", BUNDLE)
    await admin.made("/admin/identities/edge", PAIR)
    assert (await admin.client.delete("/admin/identities/edge")).status_code == 204
    answer = await admin.put("/admin/services/shop", TLS_SPEC)
    assert refused(answer) == (422, "identity_unknown", "/tls/identity")
