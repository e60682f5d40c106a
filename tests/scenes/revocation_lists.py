"""Revocation lists octet by octet: in shapes that the library makes none of, and that somebody may send."""

from __future__ import annotations

from base64 import encodebytes

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from scenes.client_certificates import Authority

ROOT = Authority.root("CN=v", 1)

V2 = bytes.fromhex("020101")
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA256_NULL = bytes.fromhex("300c06082a8648ce3d0403020500")
SINCE, UNTIL = b"\x17\x0d250101000000Z", b"\x17\x0d491231235959Z"
LATER = b"\x18\x0f20401231235959Z"  # in the form for years from 2050
CRITICAL, NOT_CRITICAL = b"\x01\x01\xff", b"\x01\x01\x00"
NULL = b"\x05\x00"
ANYTHING = "2a0304"  # 1.2.3.4
REASON, INVALIDITY, ISSUER = "551d15", "551d18", "551d1d"
NUMBER, DELTA, PART, KEY, FRESHEST = "551d14", "551d1b", "551d1c", "551d23", "551d2e"


def tagged(tag: int, content: bytes) -> bytes:
    """In DER."""
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, *([] if size < 128 else [0x80 | len(octets)]), *(octets or b"\0")]) + content


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, b"".join(parts))


def revocation_list(
    *,
    version: bytes = V2,
    algorithm: bytes = ECDSA_SHA256,
    outer: bytes | None = None,
    since: bytes = SINCE,
    until: bytes = UNTIL,
    revoked: bytes = b"",
    extensions: bytes = b"",
    issuer: bytes | None = None,
    by: Authority = ROOT,
    after: bytes = b"",
) -> str:
    """As PEM, signed by `by`."""
    named = by.certificate.subject.public_bytes() if issuer is None else issuer
    body = sequence(version, algorithm, named, since, until, revoked, extensions)
    signature = by.key.sign(body, ec.ECDSA(hashes.SHA256()))
    whole = sequence(body, algorithm if outer is None else outer, tagged(3, b"\0" + signature), after)
    return f"-----BEGIN X509 CRL-----\n{encodebytes(whole).decode()}-----END X509 CRL-----\n"


def entry(serial: bytes = b"\x01", when: bytes = SINCE, *extensions: bytes, listed: bool = False) -> bytes:
    """`listed`: with a list of extensions, though there are none."""
    return sequence(tagged(2, serial), when, sequence(*extensions) if extensions or listed else b"")


def extension(oid: str, value: bytes, critical: bytes = b"") -> bytes:
    return sequence(tagged(6, bytes.fromhex(oid)), critical, tagged(4, value))


def extended(*extensions: bytes) -> bytes:
    """Of the list itself."""
    return tagged(0xA0, sequence(*extensions))


def with_entry(*extensions: bytes, serial: bytes = b"\x01", when: bytes = SINCE) -> str:
    return revocation_list(revoked=sequence(entry(serial, when, *extensions)))


def with_extensions(*extensions: bytes) -> str:
    return revocation_list(extensions=extended(*extensions))


def common_name(tag: int) -> bytes:
    """The name of ROOT, with that kind of string."""
    return sequence(tagged(0x31, sequence(tagged(6, bytes.fromhex("550403")), tagged(tag, b"v"))))
