"""An Envoy that was told where its sidecar is and nothing else: both lanes, and what changes under it."""

from __future__ import annotations

import asyncio
import json
import socket

from scenes import bare
from scenes.edge import PLATFORM
from scenes.hierarchy import issue
from scenes.lanes import Http1, Http2

from embedded.browser import Page
from embedded.envoy import Envoy
from embedded.ports import LOOPBACK, free_ports
from embedded.upstream import Upstream
from sidecar.bootstrap import Bootstrap, TlsToSidecar

UNAVAILABLE = b"The service is not available at the moment.\n"


async def test_serves_from_its_bootstrap_alone_and_services_come_change_and_go(either_lane, eventually):
    edge = either_lane
    tenant = await edge.add_tenant("coming")
    store = await edge.add_domain(tenant, "store.test")
    await edge.add_domain(tenant, "blog.test")
    before = await edge.envoy.stats()
    async with Upstream.start("second") as second, Upstream.start("third") as third:
        await bare.eventually_is(eventually, edge, "store.test", "default")
        await bare.eventually_is(eventually, edge, "blog.test", "default")
        page = await edge.browser.get("store.test", edge.https_port, headers=[("x-nameplate-cluster", "authz")])
        assert page.status == 200, page.body
        account = page.json()
        headers = dict(account["headers"])
        assert account["upstream"] == "default"
        assert headers["x-tenant-id"] == str(tenant)
        assert "x-nameplate-cluster" not in headers
        assert await bare.upstream_of(edge, f"coming.{PLATFORM}") == "default"
        assert (await edge.browser.get_plain("store.test", edge.http_port)).status == 308

        async with bare.rows(edge) as rows:
            await rows.service("second", second.port)
            await rows.choice(tenant, store, "second")
            await bare.eventually_is(eventually, edge, "store.test", "second")
            assert await bare.upstream_of(edge, "blog.test") == "default"
            await rows.service("second", third.port)
            await bare.eventually_is(eventually, edge, "store.test", "third")
            await rows.remove("service_choices", "domain_id", store)
            await rows.remove("services", "name", "second")
            await bare.eventually_is(eventually, edge, "store.test", "default")
            # Without the service that a domain goes to, the page is clean.
            await rows.remove("services", "name", "default")
            await bare.eventually_is(eventually, edge, "store.test", 503)
            page = await edge.browser.get("store.test", edge.https_port)
            assert (page.body, page.header("cache-control")) == (UNAVAILABLE, "no-store")
            await rows.service("default", edge.upstream.port)
            await bare.eventually_is(eventually, edge, "store.test", "default")

        stats = await edge.envoy.stats()
        assert not [name for name, count in stats.items() if name.endswith(".update_rejected") and count]
        assert stats["listener_manager.listener_modified"] == before["listener_manager.listener_modified"]


async def test_an_envoy_that_is_there_first_is_not_ready_until_its_sidecar_comes_and_needs_no_service(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    bare.listening(edge)
    starting = asyncio.create_task(_serve_one(edge))
    await asyncio.sleep(0)

    async def initializing() -> bool:
        log = edge.home / "envoy" / "envoy.log"
        return log.exists() and "xds" in log.read_text()

    await eventually(initializing)
    assert not starting.done()
    await edge.start_sidecar()
    try:
        page = await starting
        assert (page.status, page.body) == (503, UNAVAILABLE)
    finally:
        await edge.stop_sidecar()


async def _serve_one(edge) -> Page:
    async with Envoy.start(edge.home, bare.bootstrap(edge)) as edge.envoy:
        return await edge.browser.get(f"acme.{PLATFORM}", edge.https_port)


async def test_a_connection_for_two_names_of_one_certificate_goes_to_each_name_s_own_service(either_lane, eventually):
    edge = either_lane
    yota, zeta = await edge.add_tenant("yota"), await edge.add_tenant("zeta")
    async with Upstream.start("zeta's") as other:
        async with bare.rows(edge) as rows:
            await rows.service("zetas", other.port)
            await rows.choice(zeta, None, "zetas")
        await bare.eventually_is(eventually, edge, f"zeta.{PLATFORM}", "zeta's")
        for client in (Http1, Http2):
            async with client.connect(edge.https_port, f"yota.{PLATFORM}", edge.pki.root_pem) as connection:
                for host, upstream, tenant in (
                    (f"yota.{PLATFORM}", "default", yota),
                    (f"zeta.{PLATFORM}", "zeta's", zeta),
                    (f"YOTA.{PLATFORM}", "default", yota),
                ):
                    answer = await connection.get(host)
                    assert answer.seen("x-tenant-id") == [("x-tenant-id", str(tenant))]
                    assert json.loads(answer.body)["upstream"] == upstream


async def test_a_service_s_timeout_is_its_own(request_lane, eventually):
    edge = request_lane
    slow = await edge.add_tenant("slow")
    # The kernel accepts, and nobody answers.
    with socket.create_server((LOOPBACK, 0)) as silent:
        async with bare.rows(edge) as rows:
            await rows.service("slow", silent.getsockname()[1], requestTimeoutMs=50)
            await rows.choice(slow, None, "slow")
            await bare.eventually_is(eventually, edge, f"slow.{PLATFORM}", 504)
            page = await edge.browser.get(f"slow.{PLATFORM}", edge.https_port)
            assert page.body == UNAVAILABLE
            assert await bare.upstream_of(edge, f"acme.{PLATFORM}") == "default"


async def test_a_sidecar_on_another_machine_is_reached_by_mutual_tls(edge, state_dir, eventually):
    authority = issue("Platform CA", ca=True)
    files = {}
    for name in ("localhost", "envoy"):
        made = issue(name, authority, names=(name,))
        files[name] = (state_dir / f"{name}.crt", state_dir / f"{name}.key")
        files[name][0].write_text(made.pem)
        files[name][1].write_text(made.key_pem)
    trusted = state_dir / "ca.crt"
    trusted.write_text(authority.pem)
    check, xds = free_ports(2)
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    bare.listening(
        edge,
        NAMEPLATE_CHECK_ADDRESS=f"{LOOPBACK}:{check}",
        NAMEPLATE_XDS_ADDRESS=f"{LOOPBACK}:{xds}",
        NAMEPLATE_TLS_CERT_FILE=str(files["localhost"][0]),
        NAMEPLATE_TLS_KEY_FILE=str(files["localhost"][1]),
        NAMEPLATE_TLS_CLIENT_CA_FILE=str(trusted),
    )
    await edge.start_sidecar()
    try:
        wanted = Bootstrap(
            "far", f"localhost:{check}", f"localhost:{xds}", f"{LOOPBACK}:0",
            tls=TlsToSidecar(*files["envoy"], trusted),
        )  # fmt: skip
        async with Envoy.start(edge.home, wanted.render()):
            assert (await edge.browser.get(f"acme.{PLATFORM}", edge.https_port)).status == 503  # there is no service
    finally:
        await edge.stop_sidecar()
        for _, key in files.values():
            key.unlink()


async def test_in_the_connection_lane_requests_pass_unasked_until_the_registration_ends(connection_lane, eventually):
    edge, host = connection_lane, "ending.test"
    domain = await edge.add_domain(await edge.add_tenant("ending"), host)
    await bare.eventually_is(eventually, edge, host, "default")

    async def asked() -> int:
        stats = await edge.envoy.stats("http.https")
        return sum(count for name, count in stats.items() if name.endswith("ext_authz.ok"))

    async with Http1.connect(edge.https_port, host, edge.pki.root_pem) as connection:

        async def passes_unasked() -> bool:
            before = await asked()
            assert (await connection.get(host)).status == 200
            return await asked() == before

        await eventually(passes_unasked)
        await edge.delete_domain(domain)

        async def has_ended() -> bool:
            return (await connection.get(host)).status == 404

        await eventually(has_ended, timeout=15)


async def test_a_port_that_is_taken_is_said_once_and_the_other_listener_serves(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_domain(await edge.add_tenant("acme"), "shop.test")
    bare.listening(edge)
    with socket.create_server((LOOPBACK, edge.https_port)):
        await edge.start_sidecar()
        try:
            async with Envoy.start(edge.home, bare.bootstrap(edge)) as edge.envoy:

                async def redirects() -> bool:
                    try:
                        return (await edge.browser.get_plain("shop.test", edge.http_port)).status == 308
                    except ConnectionRefusedError:  # Envoy says that it is ready a moment before its workers listen
                        return False

                await eventually(redirects)

                def told() -> list[str]:
                    lines = (edge.home / "sidecar.log").read_text().splitlines()
                    return [line for line in lines if "envoy_rejected" in line]

                await eventually(told)
                (line,) = told()
                assert "https" in line
                assert "already in use" in line.lower()
        finally:
            await edge.stop_sidecar()
