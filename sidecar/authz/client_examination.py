"""Looking into a client's certificate: the first time that it is seen, and when what it was held against has changed.

Imported late (sidecar.app): no other check needs what reads certificates, and a restarted sidecar is missed by all.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import structlog
from cryptography import x509

from core.certificate import UNREADABLE
from core.client_auth import ClientAuthError
from sidecar.authz import refusal
from sidecar.authz.client import KEPT_DOMAINS, Client
from sidecar.authz.client_identity import Consumers, identify
from sidecar.authz.client_trust import Standing, Trust
from sidecar.authz.refusal import Refusal
from sidecar.edge.model import ClientAuth, Consumer, Edge

# Octets of headers. Envoy lets a request have 60 KiB after the check, its own included (else it answers by itself,
# envoy/static.yaml): what says who the client is, and the chain, which goes no further, leave it a fifth.
CARRIED: Final = 48 * 1024

REFUSED: Final = {
    Standing.EXPIRED: refusal.CLIENT_CERTIFICATE_EXPIRED,
    Standing.UNTRUSTED: refusal.CLIENT_CERTIFICATE_UNTRUSTED,
    Standing.STALE: refusal.CLIENT_CRL_STALE,
    Standing.REVOKED: refusal.CLIENT_CERTIFICATE_REVOKED,
}

K = TypeVar("K")
V = TypeVar("V")

log = structlog.stdlib.get_logger(__name__)


class Found(NamedTuple):
    """It holds from `since` until before `until` (Unix seconds), by the same settings and consumers."""

    since: float
    until: float
    client: Client | Refusal


class Examination:
    def __init__(self) -> None:
        self._trust: OrderedDict[str, tuple[ClientAuth, Trust | None]] = OrderedDict()
        self._consumers: OrderedDict[str, tuple[tuple[Consumer, ...], Consumers]] = OrderedDict()

    def examine(
        self, auth: ClientAuth, consumers: tuple[Consumer, ...], certificate: bytes, forwarded: bytes, now: float
    ) -> Found:
        """Only once the settings were read. `certificate`, `forwarded`: of sidecar.authz.client.shown."""
        _, trust = self._trust[auth.domain_id]
        if trust is None:
            return Found(now, now, refusal.UNAVAILABLE)
        try:
            leaf = x509.load_pem_x509_certificate(unquote_to_bytes(certificate))
            sent = read_chain(forwarded)
        except UNREADABLE:
            untrusted = refusal.CLIENT_CERTIFICATE_UNTRUSTED
            return Found(float("-inf"), float("inf"), untrusted)
        finding = trust.examine(leaf, sent, now)
        found: Client | Refusal
        if finding.standing is Standing.GOOD:
            found = identify(auth, self._consumers_of(auth.tenant_id, consumers), leaf)
            if isinstance(found, Client) and found.octets + len(forwarded) > CARRIED:
                found = refusal.CLIENT_HEADERS_TOO_LARGE
        else:
            found = REFUSED[finding.standing]
        return Found(finding.since, finding.until, found)

    def has_read(self, auth: ClientAuth) -> bool:
        """Of these, or of such as ask the same of a certificate."""
        known = self._trust.get(auth.domain_id)
        return known is not None and (known[0] is auth or _asks_the_same(known[0], auth))

    def read(self, auth: ClientAuth) -> None:
        """Settings that cannot be used refuse everybody. Up to 0.1 s: who has set them decides."""
        trust: Trust | None = None
        try:
            trust = Trust(auth.ca_pem.decode(), None if auth.crl_pem is None else auth.crl_pem.decode())
        except (ClientAuthError, *UNREADABLE) as error:
            log.warning("client_auth_unusable", domain=auth.domain_id, error=type(error).__name__)
        _keep(self._trust, auth.domain_id, (auth, trust), KEPT_DOMAINS)

    def forget(self, edge: Edge) -> None:
        """What is none of this edge's."""
        for domain_id, (auth, trust) in list(self._trust.items()):
            now = edge.client_auth.get(domain_id)
            if now is None or not _asks_the_same(auth, now):
                del self._trust[domain_id]
            elif now is not auth:
                self._trust[domain_id] = now, trust
        for tenant_id, (consumers, _) in list(self._consumers.items()):
            if edge.consumers.get(tenant_id) is not consumers:
                del self._consumers[tenant_id]

    def _consumers_of(self, tenant_id: str, consumers: tuple[Consumer, ...]) -> Consumers:
        known = self._consumers.get(tenant_id)
        if known is not None and known[0] is consumers:
            return known[1]
        made = Consumers(consumers)
        _keep(self._consumers, tenant_id, (consumers, made), KEPT_DOMAINS)
        return made


def read_chain(forwarded: bytes) -> list[x509.Certificate]:
    """The certificates that a client has sent, its own first; none if the header has none. Raises UNREADABLE."""
    _, found, rest = forwarded.partition(b'Chain="')
    if not found:
        return []
    return x509.load_pem_x509_certificates(unquote_to_bytes(rest.partition(b'"')[0]))


def _asks_the_same(before: ClientAuth, now: ClientAuth) -> bool:
    return (before.ca_pem, before.crl_pem) == (now.ca_pem, now.crl_pem)


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)
