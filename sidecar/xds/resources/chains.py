"""The filter chains of the https listener, and which of them a connection gets.

One chain serves all domains; its bytes change with the settings alone. A domain that asks for client certificates has
a chain of its own, `client/<domain id>`, chosen by the exact server name, or by its pattern if it is a wildcard. A name
below a wildcard that is registered by itself, by whomever, is not the wildcard's: it is everybody's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Final

from betterproto2 import encode_varint

from sidecar.edge.model import CLIENT_CA_SECRET, ClientAuth
from sidecar.xds.resources import connection_manager
from sidecar.xds.resources.extension import SECRET_PATIENCE, ads, extension, matching, on_match, predicate
from sidecar.xds.resources.messages import (
    StringValue,
    core,
    inputs,
    listener,
    matcher,
    on_demand,
    pack,
    sni_mapper,
    tls,
    xds_core,
)
from sidecar.xds.resources.plan import ListenerPlan

CHAIN: Final = "https"
REFUSED: Final = "refused"  # there is no such chain
CLIENT_CHAIN: Final = "client/"
DEFAULT_SECRET: Final = "default"  # noqa: S105 -- a name
WILDCARD: Final = "*."
LABEL: Final = "[a-z0-9_-]+"
# A handshake waits for its certificate without end unless this says otherwise.
HANDSHAKE: Final = timedelta(seconds=5)


def everybody(plan: ListenerPlan) -> listener.FilterChain:
    return listener.FilterChain(
        name=CHAIN,
        transport_socket_connect_timeout=HANDSHAKE,
        transport_socket=_socket(_context([DEFAULT_SECRET])),
        filters=connection_manager.https(plan),
    )


def client(plan: ListenerPlan, auth: ClientAuth) -> listener.FilterChain:
    """Envoy refuses a certificate of other authorities; what a good one allows is the check's to say."""
    context = _context([])
    # Under a wildcard there may be names with a registration of their own, which ask for none.
    context.require_client_certificate = auth.required and not auth.hostname.startswith(WILDCARD)
    assert context.common_tls_context is not None  # noqa: S101
    context.common_tls_context.combined_validation_context = tls.CommonTlsContextCombinedCertificateValidationContext(
        # Else a revocation list of each authority up to the root is needed; the check looks at the whole path.
        default_validation_context=tls.CertificateValidationContext(only_verify_leaf_cert_crl=True),
        validation_context_sds_secret_config=tls.SdsSecretConfig(
            name=CLIENT_CA_SECRET + auth.domain_id, sds_config=ads(SECRET_PATIENCE)
        ),
    )
    return listener.FilterChain(
        name=CLIENT_CHAIN + auth.domain_id,
        transport_socket_connect_timeout=HANDSHAKE,
        transport_socket=_socket(context),
        filters=connection_manager.client(plan),
    )


def choice(chains: Mapping[str, str], below: Collection[str] = ()) -> matcher.Matcher:
    """Which chain a connection gets. `chains`: those of their own by server name, or wildcard; the name goes first.

    `below`: names that are not a wildcard's though its pattern is theirs.
    """
    names = {name: _chain(chain) for name, chain in sorted(chains.items()) if not name.startswith(WILDCARD)}
    everybodys = sorted(set(below).difference(names))
    wildcards = [
        _field(f"{LABEL}{re.escape(name.removeprefix('*'))}", chain)
        for name, chain in sorted(chains.items())
        if name.startswith(WILDCARD)
    ]
    others = _written_like_a_hostname(wildcards)
    if not names and not everybodys:
        return others
    exact = matcher.MatcherMatcherTreeMatchMap(map=names)
    exact._unknown_fields = _entries(everybodys, bytes(_chain(CHAIN)))
    return matcher.Matcher(
        matcher_tree=matcher.MatcherMatcherTree(input=_server_name(), exact_match_map=exact),
        on_no_match=matcher.MatcherOnMatch(matcher=others),
    )


def _entries(names: Iterable[str], encoded: bytes) -> bytes:
    """More of a map from a name to the same encoded message: messages for them would take 80 us a name."""
    value = b"\x12" + encode_varint(len(encoded)) + encoded
    found = []
    for name in names:
        entry = b"\x0a" + encode_varint(len(name)) + name.encode("ascii") + value
        found.append(b"\x0a" + encode_varint(len(entry)) + entry)
    return b"".join(found)


def _written_like_a_hostname(before: list[matcher.MatcherMatcherListFieldMatcher]) -> matcher.Matcher:
    """A server name becomes the name of the secret that is asked for, octet by octet: of some, Envoy dies."""
    return matcher.Matcher(
        matcher_list=matcher.MatcherMatcherList(
            matchers=[*before, _field("[a-z0-9._-]+", CHAIN), _field(r"\C+", REFUSED)]
        ),
        on_no_match=_chain(CHAIN),
    )


def _field(regex: str, chain: str) -> matcher.MatcherMatcherListFieldMatcher:
    written = matcher.RegexMatcher(google_re2=matcher.RegexMatcherGoogleRe2(), regex=regex)
    return matcher.MatcherMatcherListFieldMatcher(
        predicate=predicate(_server_name(), matcher.StringMatcher(safe_regex=written)), on_match=_chain(chain)
    )


def _server_name() -> xds_core.TypedExtensionConfig:
    return matching("server_name", inputs.ServerNameInput())


def _chain(name: str) -> matcher.MatcherOnMatch:
    return on_match(name, StringValue(value=name))


def _context(prefetched: list[str]) -> tls.DownstreamTlsContext:
    selector = on_demand.Config(
        config_source=ads(),
        certificate_mapper=extension("envoy.tls.certificate_mappers.sni", sni_mapper.Sni(default_value=DEFAULT_SECRET)),
        prefetch_secret_names=prefetched,
    )
    return tls.DownstreamTlsContext(
        # Envoy refuses the selector unless both are off.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=tls.CommonTlsContext(
            tls_params=tls.TlsParameters(tls_minimum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_2),
            alpn_protocols=["h2", "http/1.1"],
            custom_tls_certificate_selector=extension("envoy.tls.certificate_selectors.on_demand_secret", selector),
        ),
    )


def _socket(context: tls.DownstreamTlsContext) -> core.TransportSocket:
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
