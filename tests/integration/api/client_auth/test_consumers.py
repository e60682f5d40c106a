"""A tenant says whom its clients' certificates stand for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes.asking import OTHER, body, changes, consumer, problem

from api.client_auth import CHAIN_WEIGHT, LOOK_WEIGHT, MAX_CHANGES, MAX_CONSUMERS


async def test_a_consumer_is_made_changed_and_removed(
    tenant: Any, control: asyncpg.Connection[Any], sidecar: asyncpg.Connection[Any]
) -> None:
    made = await tenant.client.post("/consumers", json=consumer(value="DNS:Orders.Test", groups=["a", "b", "a"]))
    assert made.status_code == 201
    shown = made.json()
    assert (shown["value"], shown["groups"]) == ("dns:orders.test", ["a", "b"])
    place = made.headers["location"].removeprefix("/api/v1")
    assert (await tenant.client.get(place)).json() == shown
    (row,) = await sidecar.fetch("SELECT * FROM consumers_v1")
    assert dict(row) == {
        "id": UUID(shown["id"]),
        "tenant_id": tenant.id,
        "name": "orders",
        "kind": "san",
        "value": "dns:orders.test",
        "groups": ["a", "b"],
    }
    assert await changes(control) == [("edge", "", False)]

    changed = await tenant.client.put(place, json=consumer("billing", "fingerprint", "AB:" * 31 + "AB"))
    assert (changed.status_code, changed.json()["value"]) == (200, "ab" * 32)
    assert changed.json()["groups"] == []
    assert await changes(control) == [("edge", "", False)]
    assert (await tenant.client.put(place, json=consumer("billing", "fingerprint", "ab" * 32))).json() == changed.json()
    assert await changes(control) == []
    assert (await tenant.client.delete(place)).status_code == 204
    assert await changes(control) == [("edge", "", False)]
    for answer in (
        await tenant.client.get(place),
        await tenant.client.delete(place),
        await tenant.client.put(place, json=consumer()),
        await tenant.client.get("/consumers/x"),
    ):
        problem(answer, "consumer_not_found")
    rows = await control.fetch("SELECT action, tenant_id FROM audit WHERE action LIKE 'consumer%' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (action, tenant.id) for action in ("consumer_add", "consumer_change", "consumer_remove")
    ]


async def test_consumers_are_listed_in_pages_and_only_to_their_tenant(tenant: Any, other: Any) -> None:
    for number in range(5):
        await tenant.client.post("/consumers", json=consumer(f"c{number}", value=f"dns:c{number}.test"))
    names, query = [], "?limit=2"
    while query:
        page = (await tenant.client.get(f"/consumers{query}")).json()
        names += [one["name"] for one in page["data"]]
        query = f"?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""
    assert names == [f"c{number}" for number in range(5)]
    problem(await tenant.client.get("/consumers?cursor=x"), "invalid_cursor")
    place = f"/consumers/{page['data'][0]['id']}"
    assert (await other.client.get("/consumers")).json() == {"data": [], "nextCursor": None}
    for answer in (
        await other.client.get(place),
        await other.client.put(place, json=consumer()),
        await other.client.delete(place),
    ):
        problem(answer, "consumer_not_found")


async def test_one_certificate_is_one_consumers_and_one_name_may_be_several(tenant: Any, other: Any) -> None:
    assert (await tenant.client.post("/consumers", json=consumer())).status_code == 201
    problem(await tenant.client.post("/consumers", json=consumer("else", value="dns:ORDERS.test")), "consumer_exists")
    second = await tenant.client.post("/consumers", json=consumer(value="dns:orders-2.test"))
    assert second.status_code == 201
    place = f"/consumers/{second.json()['id']}"
    problem(await tenant.client.put(place, json=consumer()), "consumer_exists", "/value")
    assert (await other.client.post("/consumers", json=consumer())).status_code == 201


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"name": ""}, "consumer_name_invalid", "/name"),
        ({"name": "a\nb"}, "consumer_name_invalid", "/name"),
        ({"name": "x" * 129}, "consumer_name_invalid", "/name"),
        ({"kind": "mail"}, "consumer_kind_unknown", "/kind"),
        ({"value": "orders.test"}, "consumer_value_invalid", "/value"),
        ({"value": ""}, "consumer_value_invalid", "/value"),
        ({"value": "dns:a b"}, "consumer_value_invalid", "/value"),
        ({"kind": "subject", "value": "orders"}, "consumer_value_invalid", "/value"),
        ({"kind": "subject", "value": "O=" + "".join(map(chr, range(0x4E00, 0x51E0)))}, "consumer_value_invalid", None),
        ({"value": "ip:fe80::1%eth0"}, "consumer_value_invalid", "/value"),
        ({"kind": "fingerprint", "value": "ab"}, "consumer_value_invalid", "/value"),
        ({"groups": ["\x00"]}, "group_invalid", "/groups"),
        ({"groups": [""]}, "group_invalid", "/groups"),
        ({"groups": [1]}, "wrong_type", "/groups/0"),
        ({"groups": ["a"] * 33}, "list_too_long", "/groups"),
        ({"groups": "a"}, "wrong_type", "/groups"),
    ],
)
async def test_a_consumer_that_cannot_be_is_refused(
    tenant: Any, given: dict[str, Any], code: str, pointer: str | None
) -> None:
    problem(await tenant.client.post("/consumers", json=consumer() | given), code, pointer)


async def test_a_tenant_has_so_many_consumers(tenant: Any, control: asyncpg.Connection[Any]) -> None:
    await tenant.client.post("/consumers", json=consumer())
    await control.execute(
        """INSERT INTO consumers (tenant_id, name, kind, value)
           SELECT $1, 'x', 'san', 'dns:' || n FROM generate_series(2, $2::int) n""",
        tenant.id,
        MAX_CONSUMERS,
    )
    problem(await tenant.client.post("/consumers", json=consumer(value="dns:more.test")), "consumer_limit_reached")


async def test_changes_have_a_pace_and_a_consumer_that_stays_as_it_is_does_not_count(
    tenant: Any, other: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    await control.execute(
        "INSERT INTO client_auth_changes (tenant_id) SELECT $1 FROM generate_series(1, $2)",
        tenant.id,
        MAX_CHANGES - 1 - LOOK_WEIGHT - CHAIN_WEIGHT,
    )
    made = await tenant.client.post("/consumers", json=consumer())
    assert (await tenant.client.put(path, json=body())).status_code == 201
    place = f"/consumers/{made.json()['id']}"
    for refused in (
        await tenant.client.put(path, json=body(OTHER)),
        await tenant.client.delete(path),
        await tenant.client.post("/consumers", json=consumer(value="dns:more.test")),
        await tenant.client.put(place, json=consumer("else")),
        await tenant.client.delete(place),
    ):
        problem(refused, "client_auth_changes_too_many")
        assert 1 <= int(refused.headers["retry-after"]) <= 600
    assert (await tenant.client.get(path)).json()["caCertificates"] == body()["caCertificates"]
    assert (await tenant.client.put(place, json=consumer())).status_code == 200
    assert (await tenant.client.get("/consumers")).json()["data"] == [made.json()]
    assert (await other.client.post("/consumers", json=consumer())).status_code == 201
    await control.execute("UPDATE client_auth_changes SET at = at - interval '10 minutes'")
    assert (await tenant.client.delete(place)).status_code == 204
