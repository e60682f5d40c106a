"""Explanations where Envoy is configured by the sidecar alone: what they say is what Envoy then does."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
from cryptography import x509
from scenes import bare
from scenes.client_certificates import Authority
from scenes.edge import Edge
from scenes.upstream_tls import upstream

SHOP = "shop.mybrand.test"
CA = Authority.root("Upstreams", 1)


async def explain(edge: Edge, host: str = SHOP, more: str = "") -> dict[str, Any]:
    response = await edge.admin(f"/explain?host={host}{more}")
    assert response.status_code == 200
    return response.json()


def codes(said: dict[str, Any]) -> list[str]:
    return [why["code"] for why in said["why"]]


async def execute(edge: Edge, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def test_a_service_is_named_with_whose_choice_it_is_and_what_each_envoy_has_of_it(edge: Edge, eventually) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, SHOP)
    async with bare.serve(edge):
        await bare.eventually_is(eventually, edge, SHOP, "default")

        async def said() -> dict[str, Any]:
            return await explain(edge)

        async def settled() -> bool:
            (envoy,) = (await said())["service"]["envoys"]
            return envoy["version"] is not None and envoy["version"] == envoy["told"]

        await eventually(settled)
        found = await said()
        assert (found["served"], found["why"], found["lane"]) == (True, [], "request")
        service = found["service"]
        assert (service["name"], service["from"], service["state"], service["in_force"]) == (
            "default",
            "default",
            "configured",
            True,
        )
        (envoy,) = service["envoys"]
        assert (envoy["node"], envoy["rejected"]) == ("edge", None)
        (envoy,) = found["envoys"]
        assert envoy["version"] == found["certificate"]["version"]

        async with bare.rows(edge) as rows:
            await rows.service("other", 9)
            await rows.choice(tenant, None, "other")

        async def chosen() -> str:
            return str((await said())["service"]["from"])

        await eventually(lambda: _is(chosen, "tenant"))
        async with bare.rows(edge) as rows:
            await rows.choice(tenant, domain, "default")
        await eventually(lambda: _is(chosen, "domain"))


async def _is(what, wanted) -> bool:
    return bool(await what() == wanted)


async def test_a_service_that_is_not_there_or_cannot_be_built_is_a_503_that_is_explained(
    edge: Edge, eventually
) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, SHOP)
    async with bare.serve(edge):
        await bare.eventually_is(eventually, edge, SHOP, "default")
        async with bare.rows(edge) as rows:
            await rows.remove("services", "name", "default")
        await bare.eventually_is(eventually, edge, SHOP, 503)
        assert codes(await explain(edge)) == ["service_unknown"]
        await execute(edge, "INSERT INTO services (name, spec) VALUES ('odd', '{\"addresses\": 7}')")
        async with bare.rows(edge) as rows:
            await rows.choice(tenant, domain, "odd")
        await eventually(lambda: _found(edge, ["service_left_out"]))
        said = await explain(edge)
        assert said["service"]["reason"]
        assert await bare.upstream_of(edge, SHOP) == 503


async def _found(edge: Edge, wanted: list[str]) -> bool:
    return codes(await explain(edge)) == wanted


async def test_a_wrong_certificate_of_the_upstream_is_a_503_and_a_look_names_it(edge: Edge, eventually) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, SHOP)
    leaf = CA.issue(names=[x509.DNSName("app.internal")])
    async with bare.serve(edge), upstream(leaf, CA.pem) as port, bare.rows(edge) as rows:
        await bare.eventually_is(eventually, edge, SHOP, "default")
        await rows.trust("default", 2)  # of somebody else
        await rows.service("secure", port, tls={"sni": "app.internal"})
        await rows.choice(tenant, domain, "secure")
        await bare.eventually_is(eventually, edge, SHOP, 503)
        said = await explain(edge)
        assert (said["served"], said["service"]["state"]) == (True, "configured")  # memory does not know it
        assert said["service"]["tls"]["names"] == ["app.internal"]
        assert said["service"]["tls"]["trust"]["cas"][0]["subject"]
        said = await explain(edge, more="&load=1")
        assert codes(said) == ["upstream_untrusted"]
        assert said["service"]["upstream"][0]["address"].endswith(f":{port}")
        await execute(edge, "UPDATE trust SET pem = $1", CA.pem)
        await execute(
            edge,
            "UPDATE services SET spec = spec || $1 WHERE name = 'secure'",
            json.dumps({"tls": {"sni": "wrong.internal"}}),
        )

        async def wrong_name() -> bool:
            return codes(await explain(edge, more="&load=1")) == ["upstream_wrong_name"]

        await eventually(wrong_name)
        assert await bare.upstream_of(edge, SHOP) == 503


async def test_what_a_domain_asks_of_its_clients_is_said_and_who_has_no_certificate_is_refused(
    edge: Edge, eventually
) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, SHOP)
    async with bare.serve(edge), bare.rows(edge) as rows:
        await bare.eventually_is(eventually, edge, SHOP, "default")
        await rows.client_auth(domain, "required", 1, crl=True)
        await rows.consumer(tenant, "robot", "robot.test", "a")

        async def asked() -> bool:
            auth = (await explain(edge))["client_auth"]
            return auth is not None and auth["consumers"] == 1

        await eventually(asked)
        said = await explain(edge)
        auth = said["client_auth"]
        assert (auth["mode"], auth["lookup"], auth["consumers"], auth["reason"]) == ("required", True, 1, None)
        assert [one["subject"] for one in auth["cas"]] == ["Root 1"]
        assert auth["crls"][0]["revoked"] == 1
        assert said["served"] is True
        without = said["decisions"]["request"]["without_certificate"]
        assert (without["outcome"], without["status"]) == ("client_certificate_missing", 421)
        assert said["decisions"]["connection"]["passes"] is False
        said = await explain(edge, SHOP, "&sni=other.test")
        assert said["served"] is False
