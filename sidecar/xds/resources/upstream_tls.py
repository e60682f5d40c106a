"""TLS to an upstream: the certificate that it is shown, the authorities that it is held against, the names it may have.

Keys and authorities come as secrets on the same stream: `upstream/<identity>` and `upstream-ca/<bundle>`, of which
`upstream-ca/system` is the sidecar's machine's own.
"""

from __future__ import annotations

import re
from typing import Final

from core.service import DEFAULT, SYSTEM, Service, UpstreamTls
from core.upstream_name import tls_name_kind
from sidecar.edge.model import IDENTITY_SECRET, TRUST_SECRET, Edge
from sidecar.xds.resources.extension import SECRET_PATIENCE, ads
from sidecar.xds.resources.messages import core, pack, string, tls
from sidecar.xds.resources.plan import Unbuildable

ALPN: Final = {"http1": "http/1.1", "http2": "h2"}
SAN: Final = {
    "dns": tls.SubjectAltNameMatcherSanType.DNS,
    "ip": tls.SubjectAltNameMatcherSanType.IP_ADDRESS,
    "uri": tls.SubjectAltNameMatcherSanType.URI,
}


def trust_of(settings: UpstreamTls, edge: Edge) -> str:
    """The name of a bundle, or SYSTEM. Raises Unbuildable when there is no such bundle."""
    name = settings.trust or DEFAULT
    if name != SYSTEM and name not in edge.trust:
        raise Unbuildable("service_trust_missing", f"there is no usable trust bundle {name}")
    return name


def identity_of(settings: UpstreamTls, edge: Edge) -> str | None:
    """The name of a client certificate; None for none. Raises Unbuildable when there is none of the name."""
    if settings.identity is None:
        return DEFAULT if DEFAULT in edge.identities else None
    if settings.identity not in edge.identities:
        raise Unbuildable("service_identity_missing", f"there is no usable identity {settings.identity}")
    return settings.identity


def transport_socket(service: Service, settings: UpstreamTls, trust: str, identity: str | None) -> core.TransportSocket:
    common = tls.CommonTlsContext(
        tls_params=tls.TlsParameters(tls_minimum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_2),
        alpn_protocols=[ALPN[service.protocol]],
        combined_validation_context=tls.CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=tls.CertificateValidationContext(
                match_typed_subject_alt_names=[_names(name) for name in settings.names]
            ),
            validation_context_sds_secret_config=_secret(TRUST_SECRET + trust),
        ),
    )
    if identity is not None:
        common.tls_certificate_sds_secret_configs = [_secret(IDENTITY_SECRET + identity)]
    context = tls.UpstreamTlsContext(common_tls_context=common, sni=settings.sni or "")
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def _secret(name: str) -> tls.SdsSecretConfig:
    return tls.SdsSecretConfig(name=name, sds_config=ads(SECRET_PATIENCE))


def _names(name: str) -> tls.SubjectAltNameMatcher:
    """Envoy takes an exact DNS name for what a certificate's wildcard may stand for, as RFC 9525 says; a wildcard of
    ours stands for one label."""
    kind = tls_name_kind(name)
    if kind == "dns" and name.startswith("*."):
        regex = rf"(?i)[^.]+{re.escape(name[1:])}"
        pattern = string.StringMatcher(safe_regex=string.RegexMatcher(regex=regex))
    else:
        pattern = string.StringMatcher(exact=name)
    return tls.SubjectAltNameMatcher(san_type=SAN[kind or "dns"], matcher=pattern)
