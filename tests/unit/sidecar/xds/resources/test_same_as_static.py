"""What the sidecar builds is what envoy/static.yaml and envoy/connection.yaml say, but for what is listed here."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from sidecar.xds.resources import listeners, routes
from sidecar.xds.resources.messages import MISSING, listener, route
from sidecar.xds.resources.plan import ListenerPlan

ENVOY = Path(__file__).parents[5] / "envoy"
TEMPLATES = {"request": "static.yaml", "connection": "connection.yaml"}
PLAN = ListenerPlan(access_log="/access.log")


@pytest.fixture(params=["request", "connection"])
def lane(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def messages() -> Iterator[None]:
    """The messages that the package lacks, as far as a test reads them from YAML."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = importlib.import_module("envoy_data_plane.message_pool").default_message_pool
    urls = {f"type.googleapis.com/{name}": message for name, message in MISSING.items()}
    before = {url: pool.url_to_type.get(url) for url in urls}
    pool.url_to_type.update(urls)
    yield
    for url, message in before.items():
        if message is None:
            del pool.url_to_type[url]
        else:
            pool.url_to_type[url] = message


def static_listeners(lane: str) -> dict[str, dict[str, Any]]:
    text = (ENVOY / TEMPLATES[lane]).read_text()
    values = dict.fromkeys(Template(text).get_identifiers(), "1")
    values |= {"LISTEN_ADDRESS": PLAN.address, "HTTP_PORT": "80", "HTTPS_PORT": "443", "UPSTREAMS": "[]"}
    values["ACCESS_LOG"] = PLAN.access_log
    read = yaml.safe_load(Template(text).substitute(values))
    # Anchors are one object to the parser.
    listed = json.loads(json.dumps(read))["static_resources"]["listeners"]
    _import_types(listed)
    return {one["name"]: one for one in listed}


def _import_types(node: object) -> None:
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _import_types(value)
    if isinstance(node, dict) and "@type" in node:
        name = node["@type"].rpartition("/")[2]
        if name not in MISSING:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(f"envoy_data_plane.{name.rpartition('.')[0]}")


def over_ads(one: dict[str, Any]) -> dict[str, Any]:
    """The listener as a control plane has it: with its routes on the stream, and clusters chosen by the check."""
    filters = one["filter_chains"][0]["filters"]
    manager = filters[-1]["typed_config"]
    name = manager.pop("route_config")["name"]
    manager["rds"] = {"route_config_name": name, "config_source": {"ads": {}, "resource_api_version": "V3"}}
    for ext_authz in _found(manager["http_filters"], "envoy.filters.http.ext_authz"):
        ext_authz["clear_route_cache"] = True
    for state in _found(filters, "envoy.filters.network.set_filter_state"):
        added = json.loads(json.dumps(state["on_downstream_data"][-1]).replace("host", "cluster"))
        state["on_downstream_data"].append(added)
        (forget, _) = _found(manager["http_filters"], "envoy.filters.http.header_mutation")
        forget["mutations"]["request_mutations"].append({"remove": "x-nameplate-cluster"})
        decided = manager["early_header_mutation_extensions"][1]["typed_config"]["mutations"]
        decided.append(json.loads(json.dumps(decided[-1]).replace("host", "cluster")))
    return one


def _found(node: object, name: str) -> list[dict[str, Any]]:
    """The configurations of the filters of a name, at any depth."""
    found = []
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found += _found(value, name)
    if isinstance(node, dict) and node.get("name") == name:
        found.append(node["typed_config"])
    return found


def test_the_https_listener_is_the_static_one(lane):
    wanted = bytes(listener.Listener.from_dict(over_ads(static_listeners(lane)["https"])))
    assert listeners.https(ListenerPlan(lane, access_log=PLAN.access_log), {}) == wanted


def test_the_http_listener_is_the_static_one(lane):
    wanted = bytes(listener.Listener.from_dict(over_ads(static_listeners(lane)["http"])))
    assert listeners.http(ListenerPlan(lane, access_log=PLAN.access_log)) == wanted


def test_the_routes_are_the_static_ones(lane):
    static = {
        name: one["filter_chains"][0]["filters"][-1]["typed_config"]["route_config"]
        for name, one in static_listeners(lane).items()
    }
    (to_upstream,) = static["https"]["virtual_hosts"][0]["routes"]
    del to_upstream["route"]["cluster"]
    to_upstream["route"]["cluster_header"] = "x-nameplate-cluster"
    to_upstream["request_headers_to_remove"].append("x-forwarded-client-cert")
    for name, built in (("https", routes.https([])), ("http", routes.http())):
        assert bytes(built) == bytes(route.RouteConfiguration.from_dict(static[name]))
