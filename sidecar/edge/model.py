"""The edge as one immutable value: whoever holds one sees a single moment of the database.

All of it is public: keys lie in Vault, and CA certificates are no secrets. Ids are UUID text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.service import DEFAULT, Service

# Kinds of rows, the first half of a key of `Edge.left_out`; the second is the row's name or id.
SERVICE: Final = "service"
TRUST: Final = "trust"
IDENTITY: Final = "identity"
CHOICE: Final = "choice"
CLIENT_AUTH: Final = "client_auth"
CONSUMER: Final = "consumer"
BELOW: Final = "below"

CLUSTER_PREFIX: Final = "service/"

# Secrets, by what the rest of their name is: an identity, a trust bundle, the id of a domain that asks for client
# certificates.
IDENTITY_SECRET: Final = "upstream/"  # noqa: S105 -- what names of secrets begin with
TRUST_SECRET: Final = "upstream-ca/"  # noqa: S105
CLIENT_CA_SECRET: Final = "client-ca/"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Identity:
    """The client certificate that upstreams are shown; chain and key are in Vault (core.vault.identity_path).

    `fingerprint`: SHA-256 of the leaf, lower-case hexadecimal. `not_after`: Unix seconds.
    """

    name: str
    fingerprint: str
    vault_version: int
    not_after: float


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """What a domain asks of its clients' certificates.

    `required`: else optional. `lookup`: a certificate must be a consumer's. `identity_by`: what it is looked up by, in
    that order. `groups_from`: a field of the certificate; None: the consumer's own. `crl_pem`: None: none is revoked.
    """

    domain_id: str
    tenant_id: str
    hostname: str
    required: bool
    lookup: bool
    identity_by: tuple[str, ...]
    groups_from: str | None
    ca_pem: bytes
    crl_pem: bytes | None


@dataclass(frozen=True, slots=True)
class Consumer:
    """Whom a client certificate stands for. `value`: of the field `kind` of the certificate."""

    id: str
    tenant_id: str
    name: str
    kind: str
    value: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """The whole of it. A mapping's keys are names; of `by_tenant`, `by_domain`, `client_auth` and `consumers` ids.

    `trust`: PEM of CA certificates. `by_tenant`, `by_domain`: the service that was chosen. `consumers`: by tenant.
    `left_out`: rows that cannot be used, (kind, name or id) → why, for the operator's eyes. `below`: by the id of a
    wildcard that asks for client certificates, the names one label below it that are registered by themselves.
    """

    services: Mapping[str, Service] = field(default_factory=dict)
    trust: Mapping[str, bytes] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)
    by_tenant: Mapping[str, str] = field(default_factory=dict)
    by_domain: Mapping[str, str] = field(default_factory=dict)
    client_auth: Mapping[str, ClientAuth] = field(default_factory=dict)
    consumers: Mapping[str, tuple[Consumer, ...]] = field(default_factory=dict)
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def service_of(self, tenant_id: str, domain_id: str) -> str:
        """The name of the service that a domain goes to ("" for a platform subdomain), whether there is such or not.

        The domain's choice, else the tenant's, else the default.
        """
        return self.by_domain.get(domain_id) or self.by_tenant.get(tenant_id) or DEFAULT

    def is_shut(self, domain_id: str) -> bool:
        """Client certificates are wanted, and nobody can say which: nobody may be let in, rather than everybody."""
        return (CLIENT_AUTH, domain_id) in self.left_out


def cluster_of(service: str) -> str:
    """What Envoy's cluster of a service is called, and what checks tell it to route to."""
    return CLUSTER_PREFIX + service
