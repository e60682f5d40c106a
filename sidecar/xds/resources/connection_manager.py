"""The HTTP connection manager of each listener and lane.

The reasons for each field stand in envoy/static.yaml; a test holds the two against each other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sidecar.xds.resources import filters, long_chain
from sidecar.xds.resources.extension import ads
from sidecar.xds.resources.messages import core, http, listener, pack
from sidecar.xds.resources.plan import ListenerPlan
from sidecar.xds.resources.replies import access_log, local_replies

# The names of the listeners, of their route configurations, and of the statistics.
HTTPS: Final = "https"
HTTP: Final = "http"

# The life of a connection lane's decision: sidecar.xds.ended names an ended registration for longer.
DECISION_LIFE: Final = timedelta(seconds=3600)


def https(plan: ListenerPlan) -> list[listener.Filter]:
    """Of the chain that serves all domains, in the lane that the plan says."""
    if plan.lane == "request":
        return [_manager(_secure(plan, [filters.http_filter(filters.check())]))]
    manager = _secure(plan, [filters.ended(), filters.http_filter(filters.ask())])
    manager.early_header_mutation_extensions.append(filters.decided_headers())
    return [*filters.decision(), _manager(manager)]


def client(plan: ListenerPlan) -> list[listener.Filter]:
    """Of a domain that asks for client certificates: each request is asked about, in whatever lane the others are."""
    check = filters.check(client_certificate=True)
    manager = _secure(plan, [filters.http_filter(each) for each in (long_chain.long_chain(), check)])
    if manager.local_reply_config is not None:
        manager.local_reply_config.mappers.append(long_chain.reply())
    # What a client says of its certificate is replaced by what it showed; the route takes it off again.
    manager.forward_client_cert_details = http.HttpConnectionManagerForwardClientCertDetails.SANITIZE_SET
    manager.set_current_client_cert_details = http.HttpConnectionManagerSetCurrentClientCertDetails(chain=True)
    return [_manager(manager)]


def plain(plan: ListenerPlan) -> list[listener.Filter]:
    """Of the listener without TLS, where the sidecar answers every request."""
    return [_manager(_base(plan, HTTP, [filters.http_filter(filters.check())]))]


def _secure(plan: ListenerPlan, asking: list[http.HttpFilter]) -> http.HttpConnectionManager:
    manager = _base(plan, HTTPS, asking)
    manager.upgrade_configs = [http.HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")]
    return manager


def _manager(manager: http.HttpConnectionManager) -> listener.Filter:
    return listener.Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))


def _base(plan: ListenerPlan, name: str, asking: list[http.HttpFilter]) -> http.HttpConnectionManager:
    escaped = http.HttpConnectionManagerPathWithEscapedSlashesAction.KEEP_UNCHANGED
    return http.HttpConnectionManager(
        stat_prefix=name,
        codec_type=http.HttpConnectionManagerCodecType.AUTO,
        use_remote_address=True,
        internal_address_config=http.HttpConnectionManagerInternalAddressConfig(
            cidr_ranges=[core.CidrRange(address_prefix="255.255.255.255", prefix_len=32)]
        ),
        forward_client_cert_details=http.HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        server_header_transformation=http.HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        strip_any_host_port=True,
        normalize_path=True,
        path_with_escaped_slashes_action=escaped,
        max_request_headers_kb=60,
        request_headers_timeout=timedelta(seconds=10),
        request_timeout=timedelta(seconds=300),
        stream_idle_timeout=timedelta(seconds=300),
        drain_timeout=timedelta(seconds=5),
        common_http_protocol_options=core.HttpProtocolOptions(
            idle_timeout=timedelta(seconds=300),
            max_connection_duration=DECISION_LIFE if plan.lane == "connection" else None,
            max_headers_count=100,
            headers_with_underscores_action=core.HttpProtocolOptionsHeadersWithUnderscoresAction.DROP_HEADER,
        ),
        http2_protocol_options=core.Http2ProtocolOptions(
            max_concurrent_streams=100, initial_stream_window_size=65536, initial_connection_window_size=1048576
        ),
        early_header_mutation_extensions=[filters.early(filters.claims_of_a_client())],
        local_reply_config=local_replies(),
        access_log=access_log(plan.access_log),
        http_filters=[
            *asking,
            filters.http_filter(filters.last_words()),
            filters.http_filter(filters.end()),
        ],
        rds=http.Rds(route_config_name=name, config_source=ads()),
    )
