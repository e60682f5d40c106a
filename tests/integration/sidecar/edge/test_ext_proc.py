"""What is ext_proc's own at a real Envoy: envoy/ext_proc.yaml itself, and its failures. Requests: test_requests.py."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import Any

import pytest
import yaml
from scenes import edge as edges
from scenes.edge import EXT_PROC, PLATFORM, TEMPLATE, Edge, envoy_configuration

from embedded.envoy import validate
from embedded.process import ServerFailed

SLUG = "acme"
HOST = f"{SLUG}.{PLATFORM}"


@pytest.fixture
def edge(edge: Edge) -> Edge:
    return replace(edge, template=EXT_PROC, http_port=18080, https_port=18443)


def configuration(edge: Edge) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(envoy_configuration(edge, 18000))
    # What both listeners refer to becomes a copy for each.
    copied: dict[str, Any] = json.loads(json.dumps(loaded))
    return copied


async def test_envoy_accepts_it(edge):
    await validate(envoy_configuration(edge, 18000), edge.home)


async def test_a_misspelt_option_is_not_accepted(edge):
    text = envoy_configuration(edge, 18000)
    with pytest.raises(ServerFailed, match="request_atributes"):
        await validate(text.replace("request_attributes", "request_atributes"), edge.home)


def test_but_for_the_check_it_is_the_configuration_with_ext_authz(edge):
    ours, theirs = configuration(edge), configuration(replace(edge, template=TEMPLATE))
    for listeners in (ours["static_resources"]["listeners"], theirs["static_resources"]["listeners"]):
        for listener in listeners:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            # the filter that asks is the first
            assert manager["http_filters"][0]["name"] in {"envoy.filters.http.ext_proc", "envoy.filters.http.ext_authz"}
            del manager["http_filters"][0]
            # which local replies tell that it failed
            mappers = manager["local_reply_config"]["mappers"]
            del mappers[0]["filter"]
            # and, of ext_authz alone, that what it adds is too much for Envoy
            mappers[:] = [mapper for mapper in mappers if mapper.get("status_code") != 431]
            for host in manager["route_config"]["virtual_hosts"]:
                host.pop("typed_per_filter_config", None)
            # where the log goes
            del manager["access_log"][0]["typed_config"]["path"]
    assert ours == theirs


def test_both_listeners_ask_alike(edge):
    https, http = (
        listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        for listener in configuration(edge)["static_resources"]["listeners"]
    )
    assert https == http


async def test_with_the_sidecar_hung_or_gone_no_request_passes_and_its_return_heals(edge):
    await edge.add_default_certificate()
    await edge.add_tenant(SLUG)
    spoof = [("x-tenant-id", "spoof")]

    async def refused() -> None:
        for page in (
            await edge.browser.get(HOST, edge.https_port, headers=spoof),
            await edge.browser.get_plain(HOST, edge.http_port, headers=spoof),
        ):
            # An error that comes of retries may take as long as the time limit.
            assert page.status in {503, 504}
            assert (page.header("retry-after"), page.header("cache-control")) == ("5", "no-store")
            assert page.body == b"The service is not available at the moment.\n"

    async with edges.serve(edge):
        assert (await edge.browser.get(HOST, edge.https_port, headers=spoof)).status == 200
        before = edge.upstream.requests
        edge.running.signal(signal.SIGSTOP)
        await refused()
        edge.running.signal(signal.SIGCONT)
        assert await edge.stop_sidecar() == 0
        await refused()
        assert edge.upstream.requests == before
        await edge.start_sidecar()
        assert (await edge.browser.get(HOST, edge.https_port)).status == 200


async def test_an_envoy_that_does_not_send_the_sni_lets_nothing_pass_and_redirects_nothing(edge):
    await edge.add_default_certificate()
    await edge.add_tenant(SLUG)

    def without_attributes(text: str) -> str:
        return "".join(line for line in text.splitlines(keepends=True) if "request_attributes" not in line)

    async with edges.serve(edge, without_attributes):
        assert (await edge.browser.get(HOST, edge.https_port)).status == 421
        assert (await edge.browser.get_plain(HOST, edge.http_port)).status == 421
        assert edge.upstream.requests == 0


async def test_a_request_with_a_body_arrives_whole_and_costs_one_question(edge):
    await edge.add_default_certificate()
    tenant = await edge.add_tenant(SLUG)
    async with edges.serve(edge):
        body = b"x" * 300_000
        before = await edge.metrics()
        head = f"POST /a HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await edge.exchange(edge.https_port, head.encode() + body, sni=HOST)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert str(tenant).encode() in answer
        after = await edge.metrics()
        assert after['nameplate_checks_total{outcome="ok"}'] == before['nameplate_checks_total{outcome="ok"}'] + 1
