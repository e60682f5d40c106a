"""The certificate authorities that an upstream's certificate is held against: a bundle of PEM certificates.

Envoy takes any certificate for an anchor, a leaf too, and refuses the whole secret for one that it cannot read: so a
bundle is read, and each of its certificates looked at, before it is stored and before it is sent.

    code               refused
    trust_too_large    more than MAX_SIZE bytes, or more than MAX_CERTIFICATES certificates
    trust_unreadable   no PEM certificate, one that is damaged, or a private key among them
    trust_not_a_ca     a certificate that may sign no other (RFC 5280, 4.2.1.9)
    trust_expired      every certificate of the bundle has expired
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from core.certificate import UNREADABLE, common_name
from core.errors import NameplateError

# The list that browsers and systems trust, which an operator may well upload, has some 150 roots in 220 to 280 KB.
MAX_SIZE = 512 * 1024  # bytes
MAX_CERTIFICATES = 200


class TrustError(NameplateError):
    """The bundle cannot be used."""


@dataclass(frozen=True, slots=True)
class Authority:
    """`serial`, `fingerprint` (SHA-256): lower-case hexadecimal."""

    subject: str
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime

    @classmethod
    def from_json(cls, document: Mapping[str, str]) -> Authority:
        """Of what to_json() made."""
        since, until = (datetime.fromisoformat(document[member]) for member in ("not_before", "not_after"))
        return cls(document["subject"], document["serial"], document["fingerprint"], since, until)

    def to_json(self) -> Mapping[str, str]:
        return {
            "subject": self.subject.replace("\0", "\ufffd"),  # PostgreSQL stores none
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """`pem`: the certificates alone, each once, in the order given."""

    pem: str
    authorities: tuple[Authority, ...]

    @classmethod
    def parse(cls, pem: str, now: datetime | None = None) -> TrustBundle:
        """`now`: also refuse a bundle of which nothing is valid any more. Raises TrustError and nothing else."""
        certificates = authority_certificates(pem)
        try:
            authorities = tuple(map(authority, certificates))
        except UNREADABLE as error:
            raise TrustError("trust_unreadable", "A certificate of the bundle has no readable name or date.") from error
        text = "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)
        if len(text) > MAX_SIZE:  # with its line breaks, which may not have been there: the sidecar reads it again
            raise _too_large()
        bundle = cls(text, authorities)
        if now is not None and all(one.not_after <= now for one in bundle.authorities):
            raise TrustError("trust_expired", "Every certificate of the bundle has expired.")
        return bundle


def _too_large() -> TrustError:
    return TrustError("trust_too_large", f"A bundle has at most {MAX_SIZE // 1024} KB.")


def authority_certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a bundle, each once. Raises TrustError and nothing else."""
    # Each character is at least a byte.
    if len(pem) > MAX_SIZE or len(pem.encode(errors="replace")) > MAX_SIZE:
        raise _too_large()
    if "PRIVATE KEY" in pem:
        raise TrustError("trust_unreadable", "There is a private key in it: consider it known, and replace it.")
    try:
        found = tuple(dict.fromkeys(x509.load_pem_x509_certificates(pem.encode())))
        are_authorities = [is_authority(one) for one in found]
    except UNREADABLE as error:
        raise TrustError("trust_unreadable", "It is not one or more PEM certificates.") from error
    if len(found) > MAX_CERTIFICATES:
        raise TrustError("trust_too_large", f"A bundle has at most {MAX_CERTIFICATES} certificates.")
    for certificate, may_sign in zip(found, are_authorities, strict=True):
        if not may_sign:
            message = f"The certificate with the serial {certificate.serial_number:x} is not an authority's."
            raise TrustError("trust_not_a_ca", message)
    return found


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others (RFC 5280, 4.2.1.9 and 4.2.1.3). Raises UNREADABLE."""
    certificate.public_key()
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        # A root of version 1 has no extensions, and is an authority by being trusted (RFC 5280, 6.1.1 d).
        return certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    if certificate.issuer != certificate.subject:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except UnsupportedAlgorithm:
        return True  # an old root's way of signing
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def has_issued(issuer: x509.Certificate, issued: x509.Certificate) -> bool:
    """Whether it has signed the other, and may."""
    try:
        issued.verify_directly_issued_by(issuer)
        return is_authority(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False


def authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        subject=common_name(certificate.subject),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )
