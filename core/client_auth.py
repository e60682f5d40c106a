"""What clients' certificates are held against: a tenant's certificate authorities, and what these have revoked.

Control reads both before they are stored, the sidecar before it decides by them. Envoy is given the same bytes; one
certificate or list that it cannot read would make it refuse the whole secret.

    code             refused
    ca_too_large     more than MAX_CA_SIZE bytes, MAX_AUTHORITIES certificates, or MAX_NAMESAKES of one name
    ca_unreadable    no PEM certificate, one that is damaged, or a private key among them
    ca_is_a_leaf     a certificate that may sign no other (RFC 5280, 4.2.1.9): a client's own, say
    ca_unsupported   an authority with a key too weak or too large, or with rules that the data path does not know
    ca_expired       an authority that has run out
    crl_too_large    more than MAX_CRL_SIZE bytes, or more than MAX_CRLS lists
    crl_unreadable   no PEM list, or one that is damaged
    crl_unsupported  a list of changes or of a part, of the first version, without a date for the next one, with a rule
                     or a signature that Envoy does not know, or which of two authorities of one name does not tell
    crl_unrelated    a list that none of the authorities has signed, or one that names another key or certificate
    crl_missing      an authority without a list, where another has one: Envoy would refuse all its clients
    crl_stale        a list whose next one is due already, or that is not valid yet

A list that goes stale once it is stored refuses all clients of its authority until there is a newer one, in Envoy's
handshake and in the check: what it does not say yet may be the revocation of the one who asks (RFC 5280, 6.3.3).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from core.certificate import LARGEST_ISSUER, SMALLEST_RSA, UNREADABLE, common_name, is_for_pss_alone, verifies_in_time
from core.errors import NameplateError
from core.revocation_list import (
    Lists,
    Makers,
    Newest,
    has_empty_extensions,
    makers_of,
    may_be_of,
    newest_crls,
    newest_of,
    unknown_of,
)
from core.trust import Authority, authority

MAX_CA_SIZE = 64 * 1024  # bytes; the sidecars hold all tenants' in memory, and Envoy's main thread reads them
MAX_AUTHORITIES = 20  # a rotation needs twice what there is
MAX_NAMESAKES = 4  # of them: whose list is whose is found out by verifying it with the key of each
MAX_CRL_SIZE = 512 * 1024  # 13,000 revoked certificates
MAX_CRLS = 2 * MAX_AUTHORITIES
SIZES = {"ca": ("authorities", MAX_CA_SIZE), "crl": ("revocation lists", MAX_CRL_SIZE)}

# Keys that both Envoy and the check (cryptography.x509.verification) take for an authority's: Envoy alone would take
# Ed25519 too, and weaker ones.
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

# The extensions of an authority that may be critical: those that the data path's verification knows. Of name
# constraints it knows only these kinds.
KNOWN_CRITICAL = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.NameConstraints)
KNOWN_CONSTRAINTS = (x509.DNSName, x509.IPAddress, x509.RFC822Name)

Authorities = tuple[x509.Certificate, ...]
BEGIN = "-----BEGIN X509 CRL-----"
_other_block = re.compile(r"-----BEGIN (?!X509 CRL-----)").search


class ClientAuthError(NameplateError):
    """The authorities or the lists cannot be used. `pointer`: to the member of the document that is at fault."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.pointer = "/caCertificates" if code.startswith("ca_") else "/crl"


@dataclass(frozen=True, slots=True)
class Crl:
    """One list of an authority, made at `since`; the next one is due at `until`. `revoked`: how many it names."""

    issuer: str
    since: datetime
    until: datetime
    revoked: int

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Crl:
        """Of what to_json() made."""
        since, until = (datetime.fromisoformat(document[member]) for member in ("since", "until"))
        return cls(document["issuer"], since, until, document["revoked"])

    def to_json(self) -> Mapping[str, Any]:
        return {
            "issuer": self.issuer.replace("\0", "\ufffd"),  # PostgreSQL stores none
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "revoked": self.revoked,
        }


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """`ca_pem`, `crl_pem`: what was given, each object once and nothing else between. `crls`: the newest of each."""

    ca_pem: str
    crl_pem: str | None
    authorities: tuple[Authority, ...]
    crls: tuple[Crl, ...]

    @classmethod
    def parse(cls, ca_pem: str, crl_pem: str | None, now: datetime) -> ClientTrust:
        """What may be stored. Raises ClientAuthError and nothing else."""
        certificates, lists = _read(ca_pem, crl_pem)
        for certificate in certificates:
            _check_authority(certificate, now)
        makers = makers_of(certificates, lists)
        newest = newest_of(makers)
        if crl_pem is not None:
            _check_lists(certificates, makers, newest, now)
        return _trust(certificates, newest)

    @classmethod
    def read(cls, ca_pem: str, crl_pem: str | None) -> ClientTrust:
        """Whatever the dates, and whoever has signed what. Raises ClientAuthError and nothing else."""
        certificates, lists = _read(ca_pem, crl_pem)
        return _trust(certificates, newest_crls(certificates, lists))

    @property
    def ca_until(self) -> datetime:
        """When the first of the authorities runs out."""
        return min(one.not_after for one in self.authorities)

    @property
    def crl_until(self) -> datetime | None:
        return min((one.until for one in self.crls), default=None)


def _read(ca_pem: str, crl_pem: str | None) -> tuple[Authorities, Lists]:
    return read_authorities(ca_pem), () if crl_pem is None else read_crls(crl_pem)


def _trust(certificates: Authorities, newest: Newest) -> ClientTrust:
    used = {id(made): made for made in newest.values()}.values()
    try:
        crls = tuple(map(_crl, used))
    except UNREADABLE as error:
        raise _no_lists() from error
    ca_pem, crl_pem = "".join(map(_pem, certificates)), "".join(map(_pem, used))
    _check_size("ca", ca_pem)  # with line breaks now, which may not have been there
    _check_size("crl", crl_pem)
    return ClientTrust(ca_pem, crl_pem or None, tuple(map(authority, certificates)), crls)


def read_authorities(pem: str) -> Authorities:
    """The certificates of a bundle, each once; none is a leaf. Raises ClientAuthError."""
    _check_size("ca", pem)
    if "PRIVATE KEY" in pem:
        raise ClientAuthError("ca_unreadable", "There is a private key in it: consider it known, and replace it.")
    try:
        found = tuple(dict.fromkeys(x509.load_pem_x509_certificates(pem.encode())))
        leaves = [one for one in found if not _may_sign(one)]
    except UNREADABLE as error:
        raise ClientAuthError("ca_unreadable", "It is not one or more PEM certificates.") from error
    if len(found) > MAX_AUTHORITIES:
        raise ClientAuthError("ca_too_large", f"There may be at most {MAX_AUTHORITIES} authorities.")
    if max(Counter(one.subject for one in found).values()) > MAX_NAMESAKES:
        raise ClientAuthError("ca_too_large", f"There may be at most {MAX_NAMESAKES} authorities of one name.")
    if leaves:
        raise ClientAuthError("ca_is_a_leaf", f"{_shown(leaves[0])} is not an authority's: it may sign no other.")
    return found


def read_crls(pem: str) -> Lists:
    """The lists of a text. Raises ClientAuthError."""
    _check_size("crl", pem)
    blocks = pem.split(BEGIN)[1:]
    if len(blocks) > MAX_CRLS:
        raise ClientAuthError("crl_too_large", f"There may be at most {MAX_CRLS} revocation lists.")
    if not blocks or _other_block(pem):
        raise _no_lists()
    try:
        found = tuple(x509.load_pem_x509_crl((BEGIN + block).encode()) for block in blocks)
        for made in found:
            _ = made.issuer, made.last_update_utc, made.next_update_utc, made.extensions
            body = made.tbs_certlist_bytes
            if has_empty_extensions(made, body):
                raise _no_lists()
            if (why := unknown_of(made, body)) is not None:
                raise ClientAuthError("crl_unsupported", why)
    except UNREADABLE as error:
        raise _no_lists() from error
    return found


def _check_authority(certificate: x509.Certificate, now: datetime) -> None:
    """What Envoy or the check would refuse every client for. One that is valid only later is part of a rotation."""
    if certificate.not_valid_after_utc <= now:
        until = certificate.not_valid_after_utc.isoformat()
        raise ClientAuthError("ca_expired", f"{_shown(certificate)} expired at {until}.")
    if not _has_usable_key(certificate):
        sizes = f"{SMALLEST_RSA} to {LARGEST_ISSUER} bits with a usual exponent"
        message = f"{_shown(certificate)} has neither an RSA key of {sizes} nor P-256, P-384 or P-521."
        raise ClientAuthError("ca_unsupported", message)
    for extension in certificate.extensions:
        unknown = extension.critical and not isinstance(extension.value, KNOWN_CRITICAL)
        constraints = extension.value
        if isinstance(constraints, x509.NameConstraints):
            named = (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
            unknown = not all(isinstance(name, KNOWN_CONSTRAINTS) for name in named)
        if unknown:
            rule = extension.oid.dotted_string
            message = f"{_shown(certificate)} has a rule for its clients that is not known here: {rule}."
            raise ClientAuthError("ca_unsupported", message)


def _check_lists(authorities: Authorities, makers: Makers, newest: Newest, now: datetime) -> None:
    for made, ones in makers:
        if not ones:
            name = common_name(made.issuer)
            message = f"The list of {name} is signed by none of the authorities, or names another key as its own."
            raise ClientAuthError("crl_unrelated", message)
    named = Counter(one.subject for one in authorities)
    for one in authorities:
        if one not in newest:
            message = f"{_shown(one)} has no list: where one has, every one needs one, and it may be empty."
            raise ClientAuthError("crl_missing", message)
        if named[one.subject] > 1 and any(may_be_of(made, one) for made in newest.values() if made is not newest[one]):
            message = f"{_shown(one)} has a namesake: their lists must say whose they are (authorityKeyIdentifier)."
            raise ClientAuthError("crl_unsupported", message)
    for made in newest.values():
        since, until = made.last_update_utc, made.next_update_utc
        if until is None or not since <= now < until:
            dates = f"from {since.isoformat()} until {'?' if until is None else until.isoformat()}"
            raise ClientAuthError("crl_stale", f"The list of {common_name(made.issuer)} is good {dates}.")


def _crl(made: x509.CertificateRevocationList) -> Crl:
    until = made.next_update_utc
    assert until is not None  # noqa: S101 -- read_crls has refused such a list
    return Crl(common_name(made.issuer), made.last_update_utc, until, len({entry.serial_number for entry in made}))


def _may_sign(certificate: x509.Certificate) -> bool:
    """Raises UNREADABLE."""
    certificate.public_key()
    _ = certificate.subject, certificate.issuer, certificate.not_valid_after_utc
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid != x509.BasicConstraints.oid


def _has_usable_key(certificate: x509.Certificate) -> bool:
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return public.key_size >= SMALLEST_RSA and verifies_in_time(public) and not is_for_pss_alone(certificate)
    return isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, CURVES)


def _check_size(what: str, pem: str) -> None:
    name, most = SIZES[what]
    if len(pem) > most:
        raise ClientAuthError(f"{what}_too_large", f"The {name} may have at most {most // 1024} KB.")


def _no_lists() -> ClientAuthError:
    return ClientAuthError("crl_unreadable", "It is not one or more PEM revocation lists (X509 CRL).")


def _shown(certificate: x509.Certificate) -> str:
    return f"The certificate of {common_name(certificate.subject)[:100]} (serial {certificate.serial_number:x})"


def _pem(made: x509.Certificate | x509.CertificateRevocationList) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()
