"""Whose a revocation list is, and what Envoy makes of one that the library can read.

Envoy refuses the whole configuration for a list that it cannot load, and all clients of an authority for one that it
does not know what to do with. tests/integration/test_client_auth_in_envoy.py holds this against Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from core.certificate import UNREADABLE

HASHES = (hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
PSS_HASHES = HASHES[1:]
# A list of changes, and one of a part, mostly say so in an extension that is critical (RFC 5280, 5.2.4 and 5.2.5).
OF_A_PART = (x509.IssuingDistributionPoint, x509.DeltaCRLIndicator)

Lists = tuple[x509.CertificateRevocationList, ...]
Makers = Sequence[tuple[x509.CertificateRevocationList, Sequence[x509.Certificate]]]
Newest = Mapping[x509.Certificate, x509.CertificateRevocationList]

INTEGER = 2  # a tag of DER
OBJECT = 6
# The extensions of entries, of which there are thousands, are looked for in the list's octets, which the library has
# found to be DER by then: what comes before them tells them from others. In other places octets like these are rare, or
# put there on purpose: a list with more of them than MOST is taken for one that has such an extension.
NO_EXTENSIONS = b"\xa0\x02\x30\x00"  # an empty list of them, of the list itself; of an entry, after its date:
NONE_OF_ENTRY = b"Z\x30\x00"
CRITICAL = b"\x01\x01\xff\x04"  # after the extension's name, which the library lets have 63 octets
LONGEST_NAME = 63
MOST = 16


def has_empty_extensions(made: x509.CertificateRevocationList, body: bytes) -> bool:
    """A list of them must have one (RFC 5280, 5.1), or Envoy cannot load it. Raises core.certificate.UNREADABLE.

    `body`: its tbs_certlist_bytes, which the library makes anew each time.
    """
    if not len(made.extensions) and body.endswith(NO_EXTENSIONS):
        return True
    # After the list's own date comes the list of entries, which Envoy lets be empty.
    return _has(body, NONE_OF_ENTRY, _ends_in_digits) and len(made) > 0


def unknown_of(made: x509.CertificateRevocationList, body: bytes) -> str | None:
    """A sentence on what Envoy does not know of it, if there is such a thing. Its extensions have been read before."""
    if not _has_version(body):
        # Envoy loads it unless it has extensions; and to look for these in each entry takes long.
        return "A revocation list must be of version 2, as one with a number is (cRLNumber)."
    if made.next_update_utc is None or any(
        extension.critical or isinstance(extension.value, OF_A_PART) for extension in made.extensions
    ):
        return "A revocation list must be whole, and say when the next one comes (nextUpdate)."
    if _has(body, CRITICAL, _ends_in_a_name):
        return "A revocation list has a rule for a certificate that is not known here (a critical extension)."
    if not _has_known_signature(made):
        return "A revocation list must be signed with SHA-2; if by RSASSA-PSS, with the parameters of TLS 1.3."
    return None


def newest_crls(authorities: Sequence[x509.Certificate], lists: Lists) -> Newest:
    """By the authority that signed it, the list that it made last. A list that none has signed is left out."""
    return newest_of(makers_of(authorities, lists))


def newest_of(makers: Makers) -> Newest:
    return {one: made for made, ones in makers for one in ones}


def makers_of(authorities: Sequence[x509.Certificate], lists: Lists) -> Makers:
    """Each list with the authorities that signed it, the oldest first. Names come first: signatures take long."""
    namesakes: dict[x509.Name, list[x509.Certificate]] = {}
    for one in authorities:
        namesakes.setdefault(one.subject, []).append(one)
    ordered = sorted(lists, key=lambda made: made.last_update_utc)
    return [(made, [one for one in namesakes.get(made.issuer, ()) if signed_crl(one, made)]) for made in ordered]


def signed_crl(one: x509.Certificate, made: x509.CertificateRevocationList) -> bool:
    """Whether the list is the authority's: names alone do not tell, for its successor may be called the same."""
    if not (may_be_of(made, one) and _may_sign_crls(one)):
        return False
    try:
        return made.is_signature_valid(one.public_key())  # type: ignore[arg-type]  # of another kind: TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False


def may_be_of(made: x509.CertificateRevocationList, one: x509.Certificate) -> bool:
    """What Envoy goes by before it looks at the signature: the name, in the same octets, and the key if it is said."""
    if made.issuer != one.subject or made.issuer.public_bytes() != one.subject.public_bytes():
        return False
    try:
        said = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return True
    own = _key_identifier(one)
    if None not in (own, said.key_identifier) and own != said.key_identifier:
        return False
    names = (name.value for name in said.authority_cert_issuer or () if isinstance(name, x509.DirectoryName))
    issuer = next(names, one.issuer)
    if said.authority_cert_serial_number not in (None, one.serial_number):
        return False
    return issuer == one.issuer and issuer.public_bytes() == one.issuer.public_bytes()


def _may_sign_crls(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _key_identifier(one: x509.Certificate) -> bytes | None:
    try:
        return one.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _has(body: bytes, octets: bytes, follow: Callable[[bytes], bool]) -> bool:
    """Whether they are anywhere after what they would follow."""
    at = -1
    for _ in range(MOST):
        at = body.find(octets, at + 1)
        if at < 0:
            return False
        if follow(body[max(0, at - LONGEST_NAME - 2) : at]):
            return True
    return True


def _ends_in_digits(before: bytes) -> bool:
    return before[-12:].isdigit()


def _ends_in_a_name(before: bytes) -> bool:
    return any(before[-size - 2 : -size] == bytes((OBJECT, size)) for size in range(1, LONGEST_NAME + 1))


def _has_version(body: bytes) -> bool:
    """Extensions came with version 2, which is the first member then (RFC 5280, 5.1.2.1)."""
    length = body[1] & 0x7F if body[1] & 0x80 else 0
    return body[2 + length] == INTEGER


def _has_known_signature(made: x509.CertificateRevocationList) -> bool:
    try:
        hashed, how = made.signature_hash_algorithm, made.signature_algorithm_parameters
    except UNREADABLE:
        return False
    if not isinstance(how, padding.PSS):
        return isinstance(hashed, HASHES)
    mask, salt = how.mgf._algorithm, how._salt_length  # they have no other names
    return isinstance(hashed, PSS_HASHES) and mask.name == hashed.name and salt == hashed.digest_size
