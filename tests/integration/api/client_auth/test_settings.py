"""A tenant says what its domain's clients are asked for."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
from scenes.asking import HOST, MIDDLE, OTHER, ROOT, body, changes, go_live, problem
from scenes.client_certificates import pem


async def test_what_is_asked_for_is_shown_as_it_was_understood(tenant: Any, path: str) -> None:
    problem(await tenant.client.get(path), "client_auth_not_set")
    crls = [ROOT.crl(1, 2), MIDDLE.crl()]
    given = body(
        MIDDLE,
        ROOT,
        ROOT,
        crl="words\n" + "".join(map(pem, crls)),
        skipConsumerLookup=True,
        identifyBy=["fingerprint", "san"],
        groupsFrom="OU",
    )
    answer = await tenant.client.put(path, json={**given, "caCertificates": "words\n" + given["caCertificates"]})
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown == (await tenant.client.get(path)).json()
    assert shown["hostname"] == HOST
    assert (shown["mode"], shown["skipConsumerLookup"]) == ("required", True)
    assert (shown["identifyBy"], shown["groupsFrom"]) == (["fingerprint", "san"], "OU")
    assert shown["caCertificates"] == MIDDLE.pem + ROOT.pem
    assert [one["subject"] for one in shown["authorities"]] == ["Middle A", "Root A"]
    assert {one["issuer"]: one["revoked"] for one in shown["revocationLists"]} == {"Root A": 2, "Middle A": 0}
    head = await tenant.client.head(path)
    assert (head.status_code, head.content) == (200, b"")


async def test_without_more_it_is_the_strictest(tenant: Any, path: str) -> None:
    shown = (await tenant.client.put(path, json=body())).json()
    assert shown["skipConsumerLookup"] is False
    assert shown["identifyBy"] == ["san", "subject", "fingerprint"]
    assert (shown["groupsFrom"], shown["crl"], shown["revocationLists"]) == (None, None, [])


async def test_authorities_change_with_overlap(tenant: Any, path: str) -> None:
    for authorities in ((ROOT,), (ROOT, OTHER), (OTHER,)):
        shown = (await tenant.client.put(path, json=body(*authorities))).json()
        assert shown["caCertificates"] == "".join(one.pem for one in authorities)


async def test_the_same_again_changes_nothing_and_less_takes_away(
    tenant: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    first = await tenant.client.put(path, json=body(crl=pem(ROOT.crl())))
    await changes(control)
    again = await tenant.client.put(path, json=body(crl=first.json()["crl"]))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert await changes(control) == []
    without = await tenant.client.put(path, json=body())
    assert (without.status_code, without.json()["crl"]) == (200, None)
    assert await changes(control) == [("edge", "", False)]
    audit = await tenant.client.get(path.removesuffix("client-auth") + "audit")
    assert [line["action"] for line in audit.json()["data"]] == ["client_auth_set", "client_auth_set", "add"]
    events = await control.fetch("SELECT event FROM outbox WHERE event LIKE 'domain.client%'")
    assert [row["event"] for row in events] == ["domain.client_auth_set"] * 2


async def test_nobody_else_sees_or_changes_it(tenant: Any, other: Any, path: str) -> None:
    await tenant.client.put(path, json=body())
    for answer in (
        await other.client.get(path),
        await other.client.put(path, json=body(OTHER)),
        await other.client.delete(path),
        await tenant.client.get(f"/domains/{uuid4()}/client-auth"),
    ):
        assert answer.status_code == 404
    assert (await tenant.client.get(path)).json()["caCertificates"] == ROOT.pem


async def test_it_goes_with_the_domain(tenant: Any, path: str, control: asyncpg.Connection[Any]) -> None:
    await tenant.client.put(path, json=body())
    await go_live(control)
    await changes(control)
    await tenant.client.delete(path.removesuffix("/client-auth"))
    # Half a megabyte of each deleted domain would fill the disk: only live ones count for the tenant's limit.
    assert await control.fetchval("SELECT count(*) FROM client_auth") == 0
    assert sorted(await changes(control)) == [("domain", HOST, True), ("edge", "", False)]
    for answer in (
        await tenant.client.get(path),
        await tenant.client.put(path, json=body()),
        await tenant.client.delete(path),
    ):
        problem(answer, "domain_not_found")
