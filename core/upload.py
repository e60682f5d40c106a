"""A certificate as people upload it: a chain in some order, and its key. Read, mended where that is safe, or refused.

In this order, and the first that is broken is the answer:

    code                           refused
    upload_too_large               more text, or more certificates, than any honest chain has
    pkcs12_not_supported           a PKCS #12 file, in base64 or as PEM
    key_encrypted                  a key behind a passphrase
    key_not_readable               no PEM private key, two of them, or numbers that do not belong together
    key_weak                       RSA below 2048 bits
    key_unsupported                a kind, curve or size that Envoy does not serve, also of a certificate in the chain
    chain_unreadable               no PEM certificate, one that is damaged, or control characters in the leaf's names
    key_mismatch                   the key is none of the certificates'
    certificate_expired            the leaf, or the one that issued it; then certificate_not_yet_valid of the leaf
    certificate_wrong_usage        its key usages do not allow what it is for
    certificate_must_staple        it is worth nothing without an OCSP response, which is not offered here
    signature_weak                 the leaf, or an intermediate on the way up from it, is signed with MD5 or SHA-1
    chain_incomplete               the one that issued the leaf is missing
    chain_unrelated                a certificate that no other connects with the leaf

Mended: order, repetition, text between the blocks, a root at the end (which clients have), an alternative path, the
key's encoding. It does no I/O, and does not know whether clients trust the root: that is the uploader's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from core.certificate import (
    LARGEST_ISSUER,
    MAX_EXPONENT_BITS,
    SMALLEST_RSA,
    UNREADABLE,
    Certificate,
    CertificateError,
    check_rsa,
    is_for_pss_alone,
    is_served_by_envoy,
    verifies_in_time,
)
from core.pem import blocks, is_pkcs12
from core.trust import has_issued, is_self_signed

MAX_CHAIN = 256 * 1024  # characters; a leaf of 100 names and three RSA 4096 intermediates are 15 KB
MAX_SERVED = 128 * 1024  # of those that are served: OpenSSL and BoringSSL take no handshake message above 100 KB
MAX_KEY = 32 * 1024  # characters; RSA 4096 is 3 KB
MAX_CERTIFICATES = 16
# Signing costs the platform's processor at each handshake: RSA 8192 six times as much as RSA 4096.
LARGEST_RSA = 4096

Purpose = Literal["server", "client"]
USAGES: dict[Purpose, ObjectIdentifier] = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}
E = TypeVar("E", bound=x509.ExtensionType)
WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class UploadError(CertificateError):
    """`pointer`: the member of the upload at fault."""

    pointer: str

    def __init__(self, code: str, message: str, pointer: str) -> None:
        super().__init__(code, message)
        self.pointer = pointer


def read_upload(chain_pem: str, key_pem: str, now: datetime, purpose: Purpose = "server") -> Certificate:
    """The pair as it can be served: leaf first, then what issued it, without a root.

    Names are not looked at: Certificate.check does that. Raises UploadError and nothing else.
    """
    for text, most, pointer in ((chain_pem, MAX_CHAIN, "/certificate"), (key_pem, MAX_KEY, "/privateKey")):
        if len(text) > most:
            raise UploadError("upload_too_large", f"At most {most // 1024} KB are read here.", pointer)
        if is_pkcs12(text):
            message = "PKCS #12 is not read here: send the chain and the key as PEM (openssl pkcs12 -nodes)."
            raise UploadError("pkcs12_not_supported", message, pointer)
    key = _key(key_pem)
    certificates = _certificates(chain_pem)
    leaf = _leaf(certificates, key, now)
    _check_dates(leaf, now)
    _check_usage(leaf, purpose)
    _check_served(leaf)
    return _served(_without_root(_chain(leaf, certificates, now)), key)


def _key(pem: str) -> PrivateKeyTypes:
    unreadable = UploadError(
        "key_not_readable", "The key is one private key in PEM, without a passphrase.", "/privateKey"
    )
    try:
        found = [block for block in blocks(pem) if block.label.endswith("PRIVATE KEY")]
        if len(found) != 1:
            raise unreadable
        if found[0].label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in found[0].body:
            message = "The key is behind a passphrase: take it off (openssl pkey), and send it over this connection."
            raise UploadError("key_encrypted", message, "/privateKey")
        key = serialization.load_der_private_key(found[0].der(), None, unsafe_skip_rsa_key_validation=True)
        _check_kind(key)
        if isinstance(key, rsa.RSAPrivateKey):
            check_rsa(key)
    except UNREADABLE:
        raise unreadable from None  # the cause may hold what was sent
    return key


def _check_kind(key: PrivateKeyTypes) -> None:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < SMALLEST_RSA:
        raise UploadError("key_weak", f"An RSA key has at least {SMALLEST_RSA} bits.", "/privateKey")
    too_large = isinstance(key, rsa.RSAPrivateKey) and (
        key.key_size > LARGEST_RSA or key.private_numbers().public_numbers.e.bit_length() > MAX_EXPONENT_BITS
    )
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size < ec.SECP256R1.key_size:
        raise UploadError("key_weak", "An ECDSA key is on P-256 or P-384.", "/privateKey")
    if too_large or not is_served_by_envoy(key):
        message = f"A key is ECDSA P-256 or P-384, or RSA of {SMALLEST_RSA} to {LARGEST_RSA} bits."
        raise UploadError("key_unsupported", message, "/privateKey")


def _certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """Each once."""
    try:
        found = [block for block in blocks(pem) if block.label in ("CERTIFICATE", "X509 CERTIFICATE")]
        if len(found) > MAX_CERTIFICATES:
            message = f"A chain has at most {MAX_CERTIFICATES} certificates."
            raise UploadError("upload_too_large", message, "/certificate")
        read = tuple(dict.fromkeys(x509.load_der_x509_certificate(block.der()) for block in found))
        for certificate in read:
            _check_readable(certificate)
    except UNREADABLE as error:
        raise UploadError("chain_unreadable", "A certificate of the chain is damaged.", "/certificate") from error
    if not read:
        raise UploadError("chain_unreadable", "There is no PEM certificate in it.", "/certificate")
    for certificate in read:
        if not verifies_in_time(certificate.public_key()):
            message = (
                f"The certificate with the serial {certificate.serial_number:x} has a key of more than "
                f"{LARGEST_ISSUER} bits, or an RSA key with an exponent of more than {MAX_EXPONENT_BITS}."
            )
            raise UploadError("key_unsupported", message, "/certificate")
    return read


def _check_readable(certificate: x509.Certificate) -> None:
    """The library reads these when they are asked for. Raises UNREADABLE."""
    certificate.public_key()
    certificate.extensions  # noqa: B018
    certificate.issuer, certificate.subject  # noqa: B018
    certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018


def _leaf(certificates: Sequence[x509.Certificate], key: PrivateKeyTypes, now: datetime) -> x509.Certificate:
    """The key's own certificate; of several, the one that is valid, and for the longest."""
    public = key.public_key()
    own = [one for one in certificates if one.public_key() == public]
    if not own:
        raise UploadError("key_mismatch", "The key is not the key of any certificate in the chain.", "/privateKey")
    return max(own, key=lambda one: (_is_valid(one, now), one.not_valid_after_utc))


def _check_dates(leaf: x509.Certificate, now: datetime) -> None:
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now >= end:
        raise UploadError("certificate_expired", f"It expired at {end.isoformat()}.", "/certificate")
    if now < start:
        raise UploadError("certificate_not_yet_valid", f"Valid only from {start.isoformat()}.", "/certificate")


def _check_usage(leaf: x509.Certificate, purpose: Purpose) -> None:
    """Envoy refuses an ECDSA leaf that may not sign; peers refuse one that is for something else (RFC 5280, 4.2.1)."""
    usage, extended = _extension(leaf, x509.KeyUsage), _extension(leaf, x509.ExtendedKeyUsage)
    if usage is not None and not usage.digital_signature:
        raise UploadError("certificate_wrong_usage", "Its key usage does not allow digital signatures.", "/certificate")
    if extended is not None and not {USAGES[purpose], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(extended):
        message = f"Its extended key usage does not allow the authentication of a TLS {purpose}."
        raise UploadError("certificate_wrong_usage", message, "/certificate")


def _check_served(leaf: x509.Certificate) -> None:
    """What Envoy refuses a leaf for, or would without a response beside it (RFC 7633)."""
    if is_for_pss_alone(leaf):
        message = "Its key is for RSASSA-PSS alone: have it issued for a usual RSA key."
        raise UploadError("key_unsupported", message, "/certificate")
    if any(name.value in ("", b"") for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)):
        raise UploadError("chain_unreadable", "The leaf's common name is empty.", "/certificate")
    features = _extension(leaf, x509.TLSFeature)
    if features is not None and x509.TLSFeatureType.status_request in features:
        message = "It must be served with an OCSP response, which is not offered here: have it issued without that."
        raise UploadError("certificate_must_staple", message, "/certificate")


def _chain(
    leaf: x509.Certificate, certificates: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    """From the leaf up, as far as there is a valid issuer; one that is no root itself is taken first."""
    chain = [leaf]
    while not is_self_signed(chain[-1]):
        _check_signature(chain[-1])
        issuers = [one for one in certificates if one not in chain and has_issued(one, chain[-1])]
        valid = [one for one in issuers if _is_valid(one, now)]
        if issuers and not valid and len(chain) == 1:
            raise UploadError("certificate_expired", "The certificate that issued it is not valid now.", "/certificate")
        if not valid:
            break
        chain.append(min(valid, key=lambda one: (is_self_signed(one), -one.not_valid_after_utc.timestamp())))
    if len(chain) == 1 and not is_self_signed(leaf):
        message = "The certificate that issued it is missing; send the CA's full chain."
        raise UploadError("chain_incomplete", message, "/certificate")
    _check_related(chain, certificates)
    return tuple(chain)


def _check_related(chain: Sequence[x509.Certificate], certificates: Sequence[x509.Certificate]) -> None:
    """What is left over belongs to another path up from the leaf, or to one of the chain's keys."""
    keys = {_key_info(one) for one in chain}
    related, left = list(chain), [one for one in certificates if one not in chain]
    while found := [one for one in left if _key_info(one) in keys or any(has_issued(one, each) for each in related)]:
        related += found
        left = [one for one in left if one not in found]
    if left:
        serial = f"{left[0].serial_number:x}"
        message = f"The certificate with the serial {serial} is not connected with the leaf, or one between is missing."
        raise UploadError("chain_unrelated", message, "/certificate")


def _check_signature(certificate: x509.Certificate) -> None:
    """Not for a root: its own signature proves nothing, and nobody looks at it."""
    try:
        used = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm as error:
        message = f"The certificate with the serial {certificate.serial_number:x} is signed in an unknown way."
        raise UploadError("chain_unreadable", message, "/certificate") from error
    if isinstance(used, WEAK_HASHES):
        message = f"The certificate with the serial {certificate.serial_number:x} is signed with SHA-1 or MD5."
        raise UploadError("signature_weak", message, "/certificate")


def _without_root(chain: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    return chain[:-1] if len(chain) > 1 and is_self_signed(chain[-1]) else chain


def _served(chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> Certificate:
    encoding, no_passphrase = serialization.Encoding.PEM, serialization.NoEncryption()
    key_pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_passphrase)
    chain_pem = "".join(one.public_bytes(encoding).decode() for one in chain)
    if len(chain_pem) > MAX_SERVED:
        message = f"Of a chain at most {MAX_SERVED // 1024} KB can be served: clients refuse more. Name fewer hosts."
        raise UploadError("upload_too_large", message, "/certificate")
    try:
        made = Certificate.parse(chain_pem, key_pem.decode())
    except CertificateError as error:
        raise UploadError("chain_unreadable", error.message, "/certificate") from error
    if any(map(_control, (made.issuer, *made.names))):
        message = "Its issuer's name, or one of its own, has a control character."
        raise UploadError("chain_unreadable", message, "/certificate")
    return made


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _key_info(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
