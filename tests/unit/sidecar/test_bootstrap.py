"""What an Envoy is started with: whatever goes in, YAML comes out that says it, or a clear complaint."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar.bootstrap import Bootstrap, BootstrapError, TlsToSidecar

TLS = TlsToSidecar(Path("/c.pem"), Path("/k.pem"), Path("/ca.pem"))


def clusters(bootstrap: Bootstrap) -> dict:
    return {one["name"]: one for one in yaml.safe_load(bootstrap.render())["static_resources"]["clusters"]}


def address(cluster: dict) -> dict:
    return cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]


def test_it_names_the_sidecar_and_nothing_else():
    document = yaml.safe_load(Bootstrap("edge-1").render())
    assert document["node"] == {"id": "edge-1", "cluster": "nameplate"}
    assert document["static_resources"].keys() == {"clusters"}
    found = clusters(Bootstrap("edge-1"))
    assert {name: address(one) for name, one in found.items()} == {
        "authz": {"pipe": {"path": "/run/nameplate/check.sock"}},
        "xds": {"pipe": {"path": "/run/nameplate/xds.sock"}},
    }
    assert {one["transport_socket"] for one in found.values()} == {None}
    assert {one["type"] for one in found.values()} == {"STATIC"}
    assert document["dynamic_resources"]["lds_config"]["ads"] == {}


@pytest.mark.parametrize(
    ("host", "discovery", "san"),
    [
        ("sidecar.internal", "STRICT_DNS", {"san_type": "DNS", "matcher": {"exact": "sidecar.internal"}}),
        ("10.0.0.1", "STATIC", {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}}),
        ("[::1]", "STATIC", {"san_type": "IP_ADDRESS", "matcher": {"exact": "::1"}}),
    ],
)
def test_a_sidecar_elsewhere_is_reached_by_mutual_tls(host, discovery, san):
    found = clusters(Bootstrap("e", check=f"{host}:9001", xds=f"{host}:9002", tls=TLS))
    for one in found.values():
        assert one["type"] == discovery
        context = one["transport_socket"]["typed_config"]
        assert context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [san]
        assert ("sni" in context) == (discovery == "STRICT_DNS")
    assert address(found["xds"])["socket_address"] == {"address": host.strip("[]"), "port_value": 9002}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"envoy_version": "1.39"}, "envoy_version_unknown"),
        ({"envoy_version": "1.400"}, "envoy_version_unknown"),
        ({"envoy_version": "newest"}, "envoy_version_unknown"),
        ({"check": "/run/check.sock"}, "address_invalid"),
        ({"check": "unix:run/check.sock"}, "address_invalid"),
        ({"xds": "unix:/" + "x" * 200}, "address_invalid"),
        ({"xds": "10.0.0.1"}, "address_invalid"),
        ({"xds": "10.0.0.1:99999"}, "address_invalid"),
        ({"xds": "10.0.0.1:0", "tls": TLS}, "address_invalid"),
        ({"xds": "0.0.0.0:9", "tls": TLS}, "address_invalid"),
        ({"xds": "10.0.0.256:9", "tls": TLS}, "address_invalid"),
        ({"xds": "a b:9", "tls": TLS}, "address_invalid"),
        ({"xds": "-a:9", "tls": TLS}, "address_invalid"),
        ({"admin": "localhost:9901"}, "address_invalid"),
        ({"admin": "9901"}, "address_invalid"),
        ({"xds": "10.0.0.1:9"}, "tls_needed"),
        ({"tls": TlsToSidecar(Path("c.pem"), Path("/k.pem"), Path("/ca.pem"))}, "tls_needed"),
        ({"node_id": ""}, "node_id_invalid"),
        ({"node_id": "a\nb"}, "node_id_invalid"),
        ({"node_id": "é"}, "node_id_invalid"),
        ({"node_id": "x" * 201}, "node_id_invalid"),
        ({"max_clients": 0}, "limit_invalid"),
        ({"max_heap_bytes": 1}, "limit_invalid"),
    ],
)
def test_what_envoy_could_not_use_is_refused(changes, code):
    with pytest.raises(BootstrapError) as error:
        Bootstrap(**{"node_id": "edge", **changes}).render()
    assert error.value.code == code


@pytest.mark.parametrize("version", ["1.40", "1.40.0", "v1.40.3", "1.40.0-dev"])
def test_versions_are_taken_as_envoy_says_them(version):
    assert Bootstrap("edge", envoy_version=version).render()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200))
def test_a_node_id_is_data_whatever_it_looks_like(node_id):
    assert yaml.safe_load(Bootstrap(node_id).render())["node"]["id"] == node_id
