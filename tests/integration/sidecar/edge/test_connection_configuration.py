"""envoy/connection.yaml itself: Envoy accepts it, and it is static.yaml but for the lane."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from scenes.edge import TEMPLATE, Edge, envoy_configuration

from embedded.envoy import validate
from embedded.process import ServerFailed
from sidecar.directory.intake import ENDED_KEPT
from sidecar.xds.ended import FILTER_NAME, KEPT

CONNECTION = TEMPLATE.with_name("connection.yaml")


def filled(edge: Edge, *, lane: bool = True) -> str:
    edge.template = CONNECTION if lane else TEMPLATE
    edge.http_port, edge.https_port = 18080, 18443
    text = envoy_configuration(edge, 18000)
    return text.replace(str(edge.access_log), str(edge.home / "access.log"))  # the same for both


def managers(configuration: Any) -> list[Any]:
    listeners = configuration["static_resources"]["listeners"]
    return [listener["filter_chains"][0]["filters"][-1]["typed_config"] for listener in listeners]


async def test_envoy_accepts_it(edge):
    await validate(filled(edge), edge.home)


async def test_a_misspelt_option_is_not_accepted(edge):
    with pytest.raises(ServerFailed, match="shadow_mod"):
        await validate(filled(edge).replace("shadow_mode", "shadow_mod"), edge.home)


def test_its_placeholders_are_those_of_the_other_lane():
    texts = [template.read_text() for template in (TEMPLATE, CONNECTION)]
    tables = ["\n".join(re.findall(r"(?m)^# \|.*$", text)) for text in texts]
    assert tables[0] == tables[1]
    used = [set(re.findall(r"\$\{(\w+)\}", re.sub(r"(?m)^#.*$", "", text))) for text in texts]
    assert used[0] == used[1]


def test_it_has_every_safeguard_of_the_other_lane(edge):
    """Take out what makes it the connection lane, and what is left is the request lane."""
    # By way of JSON, so that what an alias repeats is there as often as it is meant.
    lane, other = (json.loads(json.dumps(yaml.safe_load(filled(edge, lane=lane)))) for lane in (True, False))
    https, http = managers(lane)
    network = lane["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    assert [each["name"] for each in network[:-1]] == [
        "envoy.filters.network.ext_authz",
        "envoy.filters.network.set_filter_state",
    ]
    del network[:-1]
    for manager in (https, http):
        assert manager["common_http_protocol_options"].pop("max_connection_duration")
    ended, ask, *others = https["http_filters"]
    assert (ended["name"], ask["name"]) == (FILTER_NAME, "nameplate.ask")
    forget, check = ask["typed_config"]["named_filter_chains"]["ask"]["typed_config"]
    assert forget["typed_config"]["mutations"]["request_mutations"] == [
        {"remove": "x-tenant-id"},
        {"remove": "x-nameplate-host"},
    ]
    https["http_filters"] = [check, *others]
    assert len(https["early_header_mutation_extensions"]) == 2
    del https["early_header_mutation_extensions"][1]
    assert lane == other


def test_a_connection_does_not_outlive_what_is_known_of_its_registration(edge):
    for manager in managers(yaml.safe_load(filled(edge))):
        life = float(manager["common_http_protocol_options"]["max_connection_duration"].rstrip("s"))
        drain = float(manager["drain_timeout"].rstrip("s"))
        assert life + drain + 60 <= min(KEPT, ENDED_KEPT)


def test_without_a_list_every_request_is_asked_about(edge):
    ended, ask, *_ = managers(yaml.safe_load(filled(edge)))[0]["http_filters"]
    discovery = ended["config_discovery"]
    assert discovery["apply_default_config_without_warming"] is True
    assert discovery["default_config"]["metadata"] == [{"metadata_namespace": "nameplate", "value": {"ask": "yes"}}]
    assert "failure_mode_allow: false" in yaml.dump(ask)
