# ruff: noqa: RUF009 -- how a message of betterproto2 is written
"""Envoy's messages under short names, and the few of Envoy 1.40 that the package envoy-data-plane 2.2 lacks.

Importing it takes 0.7 s of processor time: nothing that answers a check may.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import betterproto2

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's, about the package's own code
    from envoy_data_plane.cel import expr as cel
    from envoy_data_plane.envoy.config.accesslog import v3 as accesslog
    from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap
    from envoy_data_plane.envoy.config.cluster import v3 as cluster
    from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.config.endpoint import v3 as endpoint
    from envoy_data_plane.envoy.config.listener import v3 as listener
    from envoy_data_plane.envoy.config.route import v3 as route
    from envoy_data_plane.envoy.extensions.access_loggers.file import v3 as file_logger
    from envoy_data_plane.envoy.extensions.clusters.common.dns import v3 as dns
    from envoy_data_plane.envoy.extensions.clusters.dns import v3 as dns_cluster
    from envoy_data_plane.envoy.extensions.filters.common.set_filter_state import v3 as filter_state
    from envoy_data_plane.envoy.extensions.filters.http.composite import v3 as composite
    from envoy_data_plane.envoy.extensions.filters.http.ext_authz import v3 as ext_authz
    from envoy_data_plane.envoy.extensions.filters.http.fault import v3 as fault
    from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_mutation
    from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router
    from envoy_data_plane.envoy.extensions.filters.http.set_metadata import v3 as set_metadata
    from envoy_data_plane.envoy.extensions.filters.listener.proxy_protocol import v3 as proxy_protocol
    from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector import v3 as tls_inspector
    from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as http
    from envoy_data_plane.envoy.extensions.filters.network.set_filter_state import v3 as set_filter_state
    from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import v3 as early_mutation
    from envoy_data_plane.envoy.extensions.matching.common_inputs.network import v3 as inputs
    from envoy_data_plane.envoy.extensions.matching.input_matchers.metadata import v3 as metadata_matcher
    from envoy_data_plane.envoy.extensions.network.dns_resolver.cares import v3 as cares
    from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
    from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_mappers.sni import v3 as sni_mapper
    from envoy_data_plane.envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret import v3 as on_demand
    from envoy_data_plane.envoy.extensions.upstreams.http import v3 as upstream_http
    from envoy_data_plane.envoy.type import v3 as types
    from envoy_data_plane.envoy.type.matcher import v3 as string
    from envoy_data_plane.google.protobuf import Any, ListValue, StringValue, Struct, Value
    from envoy_data_plane.message_pool import default_message_pool
    from envoy_data_plane.xds.core import v3 as xds_core
    from envoy_data_plane.xds.type import v3 as xds_type
    from envoy_data_plane.xds.type.matcher import v3 as matcher

__all__ = [
    "MISSING",
    "Any",
    "CelMatcher",
    "ConnectionExtAuthz",
    "HttpAttributesCelMatchInput",
    "ListValue",
    "StringValue",
    "Struct",
    "Value",
    "accesslog",
    "bootstrap",
    "cares",
    "cel",
    "cluster",
    "composite",
    "core",
    "dns",
    "dns_cluster",
    "early_mutation",
    "endpoint",
    "ext_authz",
    "fault",
    "file_logger",
    "filter_state",
    "header_mutation",
    "http",
    "inputs",
    "listener",
    "matcher",
    "metadata_matcher",
    "mutation_rules",
    "on_demand",
    "pack",
    "proxy_protocol",
    "route",
    "router",
    "set_filter_state",
    "set_metadata",
    "sni_mapper",
    "string",
    "tls",
    "tls_inspector",
    "types",
    "upstream_http",
    "xds_core",
    "xds_type",
]


# envoy/extensions/filters/network/ext_authz/v3/ext_authz.proto: the package's message has no shadow_mode.
@dataclass(eq=False, repr=False)
class ConnectionExtAuthz(betterproto2.Message):
    stat_prefix: str = betterproto2.field(1, betterproto2.TYPE_STRING)
    grpc_service: core.GrpcService | None = betterproto2.field(2, betterproto2.TYPE_MESSAGE, optional=True)
    transport_api_version: core.ApiVersion = betterproto2.field(
        5, betterproto2.TYPE_ENUM, default_factory=lambda: core.ApiVersion(0)
    )
    include_tls_session: bool = betterproto2.field(8, betterproto2.TYPE_BOOL)
    shadow_mode: bool = betterproto2.field(12, betterproto2.TYPE_BOOL)


# xds/type/matcher/v3/cel.proto
@dataclass(eq=False, repr=False)
class CelMatcher(betterproto2.Message):
    expr_match: xds_type.CelExpression | None = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)


# xds/type/matcher/v3/http_inputs.proto
@dataclass(eq=False, repr=False)
class HttpAttributesCelMatchInput(betterproto2.Message):
    pass


# By what Envoy calls them. Not in the package's pool: it is everybody's, and a message may be there only once.
MISSING: Final = {
    "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": ConnectionExtAuthz,
    "xds.type.matcher.v3.CelMatcher": CelMatcher,
    "xds.type.matcher.v3.HttpAttributesCelMatchInput": HttpAttributesCelMatchInput,
}
_urls: Final = {message: f"type.googleapis.com/{name}" for name, message in MISSING.items()}


def pack(message: betterproto2.Message) -> Any:
    """Any message of this module in an Any."""
    url = _urls.get(type(message)) or default_message_pool.type_to_url[type(message)]
    return Any(type_url=url, value=bytes(message))
