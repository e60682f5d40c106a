"""TLS to upstreams: who is trusted, by what name, what Envoy shows of itself; and what a visitor sees of failures."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from scenes import bare, tls_upstream
from scenes.edge import PLATFORM
from scenes.hierarchy import Issued, issue

from core.certificate import Certificate
from core.vault import identity_path

HOST = f"acme.{PLATFORM}"
UNAVAILABLE = b"The service is not available at the moment.\n"

CA = issue("Upstream CA", ca=True)
OTHER_CA = issue("Other CA", ca=True)
GOOD = issue("upstream", CA, names=("app.platform.internal",))
CLIENTS_CA = issue("Clients CA", ca=True)


def client_certificate(name: str) -> Issued:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return issue(name, CLIENTS_CA, names=("envoy.platform.test",), extensions=(usage,))


async def trust(rows, name: str, authority: Issued) -> None:
    await rows.connection.execute(
        "INSERT INTO trust (name, pem) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET pem = excluded.pem",
        name,
        authority.pem,
    )


async def identity(edge, rows, name: str, shown: Issued, version: int) -> None:
    """As control puts it in force: the secret first, then the row that names its version."""
    certificate = Certificate.parse(shown.pem, shown.key_pem)
    await edge.mount.openbao.request(
        "POST", f"{edge.mount.path}/data/{identity_path(name)}", {"data": certificate.to_vault()}
    )
    await rows.identity(name, version, certificate.fingerprint)


async def sent_to(edge, rows, tenant: str, port: int, **spec: object) -> str:
    """The host of a tenant who has a service of its own, of the tenant's name."""
    await rows.service(tenant, port, **spec)
    await rows.choice(await edge.add_tenant(tenant), None, tenant)
    return f"{tenant}.{PLATFORM}"


async def test_a_trusted_certificate_of_the_right_name_is_taken_and_without_the_bundle_no_other_service_suffers(
    request_lane, eventually
):
    edge = request_lane
    async with tls_upstream.serve(GOOD) as upstream, bare.rows(edge) as rows:
        wanted = {"names": ["app.platform.internal"]}
        host = await sent_to(edge, rows, "good", upstream.port, tls=wanted)
        plain = await sent_to(edge, rows, "plain", edge.upstream.port)
        await bare.eventually_is(eventually, edge, host, 503)
        await bare.eventually_is(eventually, edge, plain, "default")
        assert (await edge.metrics())['nameplate_xds_left_out{kind="service"}'] == 1

        await trust(rows, "default", CA)
        await bare.eventually_is(eventually, edge, host, "tls")
        assert set(upstream.shown) == {None}

        tls = {"names": ["*.platform.internal", "other.test"], "sni": "x.platform.internal"}
        wildcard = await sent_to(edge, rows, "wildcard", upstream.port, tls=tls)
        await bare.eventually_is(eventually, edge, wildcard, "tls")
        for service in ("good", "wildcard"):
            await rows.remove("service_choices", "service", service)
            await rows.remove("services", "name", service)
        await rows.remove("trust", "name", "default")


LONG_AGO = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2020, 1, 2, tzinfo=UTC)}
# By the tenant that is sent there: what the upstream shows, and what name is wanted.
WRONG = {
    "other-name": (issue("upstream", CA, names=("elsewhere.internal",)), "app.platform.internal"),
    "below-the-label": (issue("upstream", CA, names=("deep.app.platform.internal",)), "*.platform.internal"),
    "other-authority": (issue("upstream", OTHER_CA, names=("app.platform.internal",)), "app.platform.internal"),
    "expired": (issue("upstream", CA, names=("app.platform.internal",), **LONG_AGO), "app.platform.internal"),
}


async def test_a_wrong_certificate_is_a_page_that_tells_nothing(request_lane, eventually):
    edge = request_lane
    async with bare.rows(edge) as rows, AsyncExitStack() as upstreams:
        await trust(rows, "wrong", CA)
        for tenant, (certificate, name) in WRONG.items():
            upstream = await upstreams.enter_async_context(tls_upstream.serve(certificate))
            await sent_to(edge, rows, tenant, upstream.port, tls={"names": [name], "trust": "wrong"})
        for tenant in WRONG:
            host = f"{tenant}.{PLATFORM}"

            async def was_refused(tenant: str = tenant, host: str = host) -> bool:
                visited = await bare.upstream_of(edge, host)
                stats = await edge.envoy.stats(f"cluster.service/{tenant}.ssl")
                failed = {name: count for name, count in stats.items() if "fail_verify" in name}
                assert visited == 503 and any(failed.values()), (tenant, visited, failed)
                return True

            await eventually(was_refused, timeout=15)
            page = await edge.browser.get(host, edge.https_port)
            assert (page.status, page.body) == (503, UNAVAILABLE)
            told = {"retry-after", "cache-control", "content-length", "content-type", "date", "connection"}
            assert {name for name, _ in page.headers} <= told
        assert await bare.upstream_of(edge, HOST) == "default"


async def test_the_machine_s_own_authorities_are_a_bundle(request_lane, system_ca, eventually):
    edge = request_lane
    shown = issue("upstream", system_ca, names=("app.platform.internal",))
    async with tls_upstream.serve(shown) as upstream, bare.rows(edge) as rows:
        tls = {"names": ["app.platform.internal"], "trust": "system"}
        host = await sent_to(edge, rows, "system", upstream.port, tls=tls)
        await bare.eventually_is(eventually, edge, host, "tls")


async def test_what_envoy_shows_is_rotated_without_a_failed_request(request_lane, eventually):
    edge = request_lane
    async with tls_upstream.serve(GOOD, CLIENTS_CA) as upstream, bare.rows(edge) as rows:
        await trust(rows, "rotated", CA)
        await identity(edge, rows, "rotated", client_certificate("first"), 1)
        tls = {"names": ["app.platform.internal"], "trust": "rotated", "identity": "rotated"}
        host = await sent_to(edge, rows, "rotated", upstream.port, tls=tls, maxConnectionDurationMs=1000)
        await bare.eventually_is(eventually, edge, host, "tls")
        assert set(upstream.shown) == {"first"}

        over = asyncio.Event()

        async def visit() -> list[int]:
            statuses = []
            while not over.is_set():
                statuses.append((await edge.browser.get(host, edge.https_port)).status)
            return statuses

        visits = asyncio.create_task(visit())
        for version in range(2, 5):
            await identity(edge, rows, "rotated", client_certificate(f"number {version}"), version)
            await eventually(lambda version=version: f"number {version}" in upstream.shown, timeout=10)
        over.set()
        assert set(await visits) == {200}
