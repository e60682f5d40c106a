"""Which secrets the edge has, by their names towards Envoy, and those of them that need no key.

    upstream/<identity>     the client certificate that upstreams are shown: Vault has it (sidecar.certs.identities)
    upstream-ca/<bundle>    whom an upstream's certificate must be signed by
    client-ca/<domain id>   whom a client's certificate must be signed by, and what these have revoked

No server name of a client is such a name: Envoy lets none with a slash get as far as a secret (envoy/static.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from core.service import SYSTEM
from sidecar.edge.model import CLIENT_CA_SECRET, IDENTITY_SECRET, TRUST_SECRET, Edge
from sidecar.edge.system_trust import system_trust
from sidecar.wire import discovery_pb2, secret_pb2

PREFIXES: Final = (IDENTITY_SECRET, TRUST_SECRET, CLIENT_CA_SECRET)
SECRET_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 -- a type's name


class Edges(Protocol):
    @property
    def current(self) -> Edge | None: ...


def is_edge_secret(name: str) -> bool:
    return "/" in name and name.startswith(PREFIXES)  # hostnames, which nearly all are, cost a fifth of it


@dataclass(frozen=True, slots=True)
class Context:
    """A validation context. `resource`: Envoy's Secret as an encoded Any; `version`: of its bytes."""

    version: str
    resource: bytes = field(repr=False)


Source = tuple[bytes, bytes | None]  # CA certificates and CRLs, PEM


class ValidationContexts:
    """Each is encoded when it is first asked for, and again when it is another one."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._encoded: dict[str, tuple[Source, Context]] = {}

    def get(self, name: str) -> Context | None:
        """None: there is no such secret, or nothing is loaded."""
        source = self._source(name)
        if source is None:
            self._encoded.pop(name, None)
            return None
        known = self._encoded.get(name)
        if known is None or known[0] != source:
            known = self._encoded[name] = source, encode(name, *source)
        return known[1]

    def _source(self, name: str) -> Source | None:
        edge = self._edges.current
        if edge is None:
            return None
        if name == TRUST_SECRET + SYSTEM:
            pem = system_trust()
            return None if pem is None else (pem, None)
        if name.startswith(TRUST_SECRET):
            pem = edge.trust.get(name.removeprefix(TRUST_SECRET))
            return None if pem is None else (pem, None)
        if name.startswith(CLIENT_CA_SECRET):
            auth = edge.client_auth.get(name.removeprefix(CLIENT_CA_SECRET))
            return None if auth is None else (auth.ca_pem, auth.crl_pem)
        return None


def encode(name: str, ca_pem: bytes, crl_pem: bytes | None) -> Context:
    """`crl_pem`: a list of each of the authorities, or None."""
    context = secret_pb2.CertificateValidationContext(trusted_ca=secret_pb2.DataSource(inline_bytes=ca_pem))
    if crl_pem is not None:
        context.crl.inline_bytes = crl_pem
    value = secret_pb2.Secret(name=name, validation_context=context).SerializeToString()
    return Context(
        sha256(value).hexdigest()[:32], discovery_pb2.Any(type_url=SECRET_TYPE, value=value).SerializeToString()
    )


def changed_secrets(before: Edge | None, now: Edge) -> set[str]:
    """The names whose secret may be another one now, or be there no more."""
    was = before or Edge()
    changed = {IDENTITY_SECRET + name for name in _differing(was.identities, now.identities)}
    changed.update(TRUST_SECRET + name for name in _differing(was.trust, now.trust))
    changed.update(CLIENT_CA_SECRET + domain for domain in _differing(was.client_auth, now.client_auth))
    return changed


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> set[str]:
    """What stayed as it was is the very same object (sidecar.edge.rows)."""
    return {
        name for name in before.keys() | now.keys() if (was := before.get(name)) is not now.get(name) or was is None
    }
