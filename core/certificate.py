"""A certificate with its chain and private key, as it travels from control through Vault to the sidecar.

Control checks it before it is stored, the sidecar before it is sent to Envoy: one bad secret makes Envoy refuse a
whole response, and Envoy serves an expired or foreign certificate without complaint.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from core.errors import NameplateError

SMALLEST_RSA = 2048  # bits; what BoringSSL and the CAs ask for
# Of a key that signatures are verified with: beyond these, which are BoringSSL's own, one may take a second.
LARGEST_ISSUER = 8192  # bits
MAX_EXPONENT_BITS = 33
PROBE = b"nameplate"  # what a key signs to show that it can
# What the library says of PEM, or of an extension in it, that is not as it should be.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class CertificateError(NameplateError):
    """The pair cannot be served. Codes: certificate_unreadable, certificate_key_mismatch, certificate_chain_broken,
    certificate_wrong_name, certificate_expired, certificate_not_yet_valid."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`chain_pem`: leaf first. `serial` and `fingerprint` (SHA-256 of the leaf): lower-case hexadecimal."""

    chain_pem: str
    key_pem: str = field(repr=False)
    serial: str
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]

    @classmethod
    def parse(cls, chain_pem: str, key_pem: str) -> Certificate:
        """Read a pair and check what does not depend on time or name: each link signed by the next, the key the leaf's.

        Raises CertificateError.
        """
        try:
            chain = x509.load_pem_x509_certificates(chain_pem.encode())
            key = load_key(key_pem)
            leaf = chain[0]
            public, issuer, names = leaf.public_key(), common_name(leaf.issuer), dns_names(leaf)
        except UNREADABLE as error:
            raise CertificateError("certificate_unreadable", "The chain or the key is not readable PEM.") from error
        if not is_served_by_envoy(key):
            raise CertificateError("certificate_unreadable", "The key is neither ECDSA P-256 or P-384 nor RSA 2048.")
        if key.public_key() != public:
            raise CertificateError("certificate_key_mismatch", "The key is not the leaf certificate's key.")
        check_links(chain)
        return cls(
            chain_pem=chain_pem,
            key_pem=key_pem,
            serial=f"{leaf.serial_number:x}",
            issuer=issuer,
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
            names=names,
        )

    @classmethod
    def from_vault(cls, data: dict[str, Any]) -> Certificate:
        """Raises CertificateError, also when a field is missing."""
        try:
            return cls.parse(str(data["chain"]), str(data["key"]))
        except KeyError as error:
            raise CertificateError("certificate_unreadable", "The Vault record has no chain or no key.") from error

    def to_vault(self) -> dict[str, str]:
        return {
            "chain": self.chain_pem,
            "key": self.key_pem,
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "not_after": self.not_after.isoformat(),
        }

    def covers(self, hostname: str) -> bool:
        """Whether a client that asks for `hostname` (normal form) accepts the leaf's names (RFC 6125, 6.4.3)."""
        return hostname in self.names or "*." + hostname.partition(".")[2] in self.names

    def check(self, hostname: str, now: datetime) -> None:
        """Raise CertificateError unless it can be served for `hostname` at `now`."""
        if not self.covers(hostname):
            raise CertificateError("certificate_wrong_name", f"The certificate does not name {hostname}.")
        self.check_dates(now)

    def check_dates(self, now: datetime) -> None:
        """Raise CertificateError unless it is valid at `now`, whoever it is for."""
        if now < self.not_before:
            raise CertificateError("certificate_not_yet_valid", f"Valid only from {self.not_before.isoformat()}.")
        if now >= self.not_after:
            raise CertificateError("certificate_expired", f"It expired at {self.not_after.isoformat()}.")


def load_key(pem: str) -> PrivateKeyTypes:
    """A private key that is one. Raises ValueError, TypeError, UnsupportedAlgorithm.

    OpenSSL's own check of an RSA key proves its factors prime, which holds a process up for 35 ms (2048 bits) to 250 ms
    (4096). Here a signature shows instead that the factors do what they are for.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SMALLEST_RSA:
        check_rsa(key)
    return key


def check_rsa(key: rsa.RSAPrivateKey) -> None:
    """Raise ValueError unless the numbers belong together (RFC 8017, 3.2) and sign for the public ones.

    BoringSSL in Envoy wants the same of them, and refuses a whole response for a key that is not so.
    """
    numbers = key.private_numbers()
    public = numbers.public_numbers
    p, q, d, e = numbers.p, numbers.q, numbers.d, public.e
    if (
        min(p, q) < 3
        or p == q
        or p * q != public.n
        or not p & q & e & 1
        or not (e > 1 and 0 < d < public.n)
        or (d * e % (p - 1), d * e % (q - 1)) != (1, 1)
        or (numbers.dmp1, numbers.dmq1) != (d % (p - 1), d % (q - 1))
        or not 0 < numbers.iqmp < p
        or numbers.iqmp * q % p != 1
    ):
        raise ValueError("The numbers of the RSA key do not belong together.")
    digest = hashes.SHA256()
    try:
        key.public_key().verify(key.sign(PROBE, padding.PKCS1v15(), digest), PROBE, padding.PKCS1v15(), digest)
    except InvalidSignature as error:
        raise ValueError("What the RSA key signs is not signed by it.") from error


def verifies_in_time(key: object) -> bool:
    """Whether signatures are verified by it in a millisecond or so, whoever has chosen its numbers."""
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        return False
    return not isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) or key.key_size <= LARGEST_ISSUER


def is_for_pss_alone(certificate: x509.Certificate) -> bool:
    """Whether it says so of its RSA key (RFC 4055, 1.2): BoringSSL knows no such keys, the library does."""
    return certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS


def is_served_by_envoy(key: object) -> bool:
    """Another kind of key makes Envoy refuse the secret, and handshakes wait for it in vain."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SMALLEST_RSA


def check_links(chain: Sequence[x509.Certificate]) -> None:
    """Raise CertificateError unless each certificate is directly issued by the one after it (RFC 8446, 4.4.2)."""
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            raise CertificateError("certificate_chain_broken", "The chain is not in order, leaf first.") from error


def ari_id(leaf: x509.Certificate) -> str | None:
    """`<key identifier of the issuer>.<serial>`, each base64url without padding (RFC 9773 section 4.1)."""
    try:
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    if issuer is None:
        return None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")  # DER: its sign has a bit too
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in (issuer, serial))


def dns_names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
