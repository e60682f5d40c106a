"""Whether a client certificate is good now, by the authorities and the revocation lists that a domain has now.

Envoy has looked at it once, in the handshake. A connection outlives that: until the look is repeated here, an authority
that was withdrawn or a certificate that was revoked would serve on for as long as the connection lasts. What Envoy
checks of the certificate alone (who may use it for what) is not repeated.

Pure, and total: bytes that cannot be read are those of a certificate that is not trusted. What is found holds from
`since` until `until`, and is not looked for again meanwhile: it changes only where a certificate or a list begins or
ends. In order:

1. The certificate is outside of its dates: EXPIRED.
2. No path leads from it over those that were sent with it to one of the authorities, all within their dates, each
   signed by the next, which may sign it (RFC 5280, 6.1, with name constraints): UNTRUSTED.
3. There are lists, and for one of the path there is none, or a stale one: STALE. Nobody knows, so nobody passes.
4. One of the path is on a list: REVOKED.
5. It is GOOD.

An authority that another one's list revokes is none: for RFC 5280 a path ends with trust in it, here the list counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from core.certificate import UNREADABLE, verifies_in_time
from core.client_auth import read_authorities, read_crls
from core.revocation_list import newest_crls

# Certificates between a client's and an authority. With the next two it bounds the paths that are tried (14 ms, where
# the library gives up by itself, if a client means harm).
MAX_DEPTH = 4
# Certificates that are looked at of those that a client has sent, and of one name among them.
MAX_SENT = 8
MAX_NAMESAKES = 2

# A name and a key: what signs, whatever certificates say so.
Signer = tuple[bytes, bytes]

_ca_policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
_builder = PolicyBuilder().max_chain_depth(MAX_DEPTH)
_builder = _builder.extension_policies(ca_policy=_ca_policy, ee_policy=ExtensionPolicy.permit_all())


class Standing(Enum):
    GOOD = "good"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"
    STALE = "stale"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Finding:
    """`since`, `until`: Unix seconds; it holds from the first until before the second."""

    standing: Standing
    since: float
    until: float


class Trust:
    """`ca_pem`, `crl_pem`: as core.client_auth has let them pass. Raises ClientAuthError for others."""

    def __init__(self, ca_pem: str, crl_pem: str | None) -> None:
        authorities = read_authorities(ca_pem)
        lists = () if crl_pem is None else read_crls(crl_pem)
        newest = newest_crls(authorities, lists)
        # A renewed authority signs with the key that it had: its list is that of both its certificates.
        self._crls: Mapping[Signer, x509.CertificateRevocationList] = {_signer(one): newest[one] for one in newest}
        self._lists = bool(lists)
        anchors = [one for one in authorities if not _is_revoked_by_another(one, newest)]
        self._store = Store(anchors) if anchors else None
        self._moments = [moment for one in authorities for moment in _dates(one)]
        for crl in self._crls.values():
            self._moments += [crl.last_update_utc.timestamp(), _end(crl)]

    def examine(self, certificate: x509.Certificate, sent: Sequence[x509.Certificate], now: float) -> Finding:
        """`sent`: with it, in any order, its own among them or not. `now`: Unix seconds."""
        try:
            others = _some([one for one in sent if one != certificate])
            moments = [*self._moments, *(moment for one in (certificate, *others) for moment in _dates(one))]
            standing = self._standing(certificate, others, now)
        except UNREADABLE:
            return Finding(Standing.UNTRUSTED, float("-inf"), float("inf"))
        since = max((moment for moment in moments if moment <= now), default=float("-inf"))
        return Finding(standing, since, min((moment for moment in moments if moment > now), default=float("inf")))

    def _standing(self, certificate: x509.Certificate, others: list[x509.Certificate], now: float) -> Standing:
        begins, ends = _dates(certificate)
        if not begins <= now < ends:
            return Standing.EXPIRED
        if self._store is None:
            return Standing.UNTRUSTED
        # Certificates know whole seconds; that at which one ends is its last.
        moment = datetime.fromtimestamp(int(now), UTC)
        try:
            path = _builder.store(self._store).time(moment).build_client_verifier().verify(certificate, others).chain
        except VerificationError:
            return Standing.UNTRUSTED
        if not self._lists:
            return Standing.GOOD
        found = {self._revocation(issued, issuer, now) for issued, issuer in pairwise(path)}
        return next((one for one in (Standing.STALE, Standing.REVOKED) if one in found), Standing.GOOD)

    def _revocation(self, issued: x509.Certificate, issuer: x509.Certificate, now: float) -> Standing:
        crl = self._crls.get(_signer(issuer))
        if crl is None or not crl.last_update_utc.timestamp() <= now < _end(crl):
            return Standing.STALE
        return Standing.GOOD if _entry(crl, issued) is None else Standing.REVOKED


def _is_revoked_by_another(
    one: x509.Certificate, newest: Mapping[x509.Certificate, x509.CertificateRevocationList]
) -> bool:
    return any(
        issuer.subject == one.issuer and issuer != one and _entry(crl, one) is not None and _signed(one, issuer)
        for issuer, crl in newest.items()
    )


def _signer(one: x509.Certificate) -> Signer:
    key = one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return one.subject.public_bytes(), key


def _some(sent: list[x509.Certificate]) -> list[x509.Certificate]:
    """The first of them, and of each name; the rest is more than a path needs. None of a key that takes long."""
    seen: Counter[x509.Name] = Counter()
    found: list[x509.Certificate] = []
    for one in filter(_is_verified_in_time, sent):
        seen[one.subject] += 1
        if seen[one.subject] <= MAX_NAMESAKES and len(found) < MAX_SENT:
            found.append(one)
    return found


def _is_verified_in_time(one: x509.Certificate) -> bool:
    """Whether what it has signed is; of RSA with 16,384 bits and a large exponent one signature takes 3.5 ms."""
    try:
        return verifies_in_time(one.public_key())
    except UNREADABLE:
        return False


def _entry(crl: x509.CertificateRevocationList, one: x509.Certificate) -> x509.RevokedCertificate | None:
    return crl.get_revoked_certificate_by_serial_number(one.serial_number)


def _signed(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _dates(one: x509.Certificate) -> tuple[float, float]:
    """From the first until before the second (RFC 5280, 4.1.2.5: the last second is within)."""
    return one.not_valid_before_utc.timestamp(), one.not_valid_after_utc.timestamp() + 1


def _end(crl: x509.CertificateRevocationList) -> float:
    end = crl.next_update_utc
    return float("-inf") if end is None else end.timestamp()
