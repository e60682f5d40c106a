"""Client certificates that say much: all of it reaches the upstream, or the client is told why it does not."""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509
from scenes.client_certificates import Leaf
from scenes.gate import ROOT

from sidecar.authz.client_examination import CARRIED
from sidecar.authz.refusal import CLIENT_HEADERS_TOO_LARGE, Outcome
from sidecar.xds.resources.replies import TOO_LARGE

COUNTED = f'nameplate_checks_total{{outcome="{Outcome.CLIENT_HEADERS_TOO_LARGE}"}}'


def talkative(octets: int) -> Leaf:
    """Its names are about so many octets, three times as many as a header."""
    names = [x509.UniformResourceIdentifier(f"u:{number:03}{'%' * 195}") for number in range(octets // 200)]
    return ROOT.issue("CN=talkative", names)


async def test_a_client_of_many_names_is_told_of_as_long_as_envoy_carries_them(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain)
    await becomes(host, ROOT.issue(), 200)
    refused = (await gate.edge.metrics()).get(COUNTED, 0)
    for http2 in (False, True):
        async with gate.client(host, talkative(10_000), http2=http2) as client:
            said = dict(await client.told(host))["x-nameplate-client-san"]
        assert 25_000 < len(said) < CARRIED
        assert said.count(",") == 49
        async with gate.client(host, talkative(14_000), http2=http2) as client:  # Envoy by itself: an empty 500
            answer = await client.get(host)
        assert (answer.status_code, answer.text) == (431, CLIENT_HEADERS_TOO_LARGE.body)
        assert answer.headers["cache-control"] == "no-store"
    assert (await gate.edge.metrics())[COUNTED] == refused + 2


async def test_a_request_whose_own_headers_leave_no_room_is_told_so(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain)
    leaf = talkative(10_000)
    await becomes(host, leaf, 200)
    for http2 in (False, True):
        async with gate.client(host, leaf, http2=http2) as client:
            answer = await client.get(host, {f"x-own-{number}": "x" * 1000 for number in range(30)})
            assert (answer.status_code, answer.text) == (431, TOO_LARGE)
            assert answer.headers["cache-control"] == "no-store"
            assert await client.status(host) == 200


async def test_a_client_of_a_long_chain_is_refused_before_the_check_is_asked(gate, asked, becomes):
    """Envoy would send all of it to the sidecar with every request: ten times the time of an honest one."""
    host, domain = await gate.domain()
    await asked(host, domain, mode="optional")
    honest = ROOT.issue()
    await becomes(host, honest, 200)
    padding = tuple(talkative(10_000).certificate for _ in range(4))
    counted = "nameplate_checks_total"
    for http2 in (False, True):
        before = await gate.edge.metrics()
        async with gate.client(host, replace(honest, chain=padding), http2=http2) as client:
            for _ in range(5):
                answer = await client.get(host)
                assert (answer.status_code, answer.text) == (431, CLIENT_HEADERS_TOO_LARGE.body)
                assert answer.headers["cache-control"] == "no-store"
        after = await gate.edge.metrics()
        assert {key: after[key] for key in after if key.startswith(counted)} == {
            key: before[key] for key in before if key.startswith(counted)
        }
        async with gate.client(host, replace(honest, chain=padding[:1]), http2=http2) as client:
            assert await client.status(host) == 200
        async with gate.client(host, http2=http2) as client:  # what a client says of itself is no chain
            assert (await client.get(host, {"x-forwarded-client-cert": "x" * 40_000})).status_code == 200
