"""envoy/static.yaml itself: Envoy accepts it, and what must be said twice is the same twice."""

from __future__ import annotations

import re

import pytest
import yaml
from scenes.edge import TEMPLATE, Edge, envoy_configuration

from embedded.envoy import validate
from embedded.process import ServerFailed


def filled(edge: Edge) -> str:
    edge.http_port, edge.https_port = 18080, 18443
    return envoy_configuration(edge, 18000)


async def test_envoy_accepts_it(edge):
    await validate(filled(edge), edge.home)


async def test_a_misspelt_option_is_not_accepted(edge):
    with pytest.raises(ServerFailed, match="status_on_eror"):
        await validate(filled(edge).replace("status_on_error", "status_on_eror"), edge.home)


def test_every_placeholder_is_explained(edge):
    used = set(re.findall(r"\$\{(\w+)\}", re.sub(r"(?m)^#.*$", "", TEMPLATE.read_text())))
    explained = set(re.findall(r"\$\{(\w+)\}", "".join(re.findall(r"(?m)^# \|.*$", TEMPLATE.read_text()))))
    assert used == explained
    assert "$" not in filled(edge)


def test_both_listeners_treat_a_client_alike(edge):
    listeners = yaml.safe_load(filled(edge))["static_resources"]["listeners"]
    https, http = (listener["filter_chains"][0]["filters"][0]["typed_config"] for listener in listeners)
    for different in ("stat_prefix", "route_config", "upgrade_configs"):
        assert https.pop(different) != http.pop(different, None)
    assert https == http


def test_the_plain_listener_has_no_way_to_an_upstream(edge):
    https, http = yaml.safe_load(filled(edge))["static_resources"]["listeners"]
    assert http["name"] == "http"
    assert "cluster: platform" in yaml.dump(https)
    assert "platform" not in yaml.dump(http)
