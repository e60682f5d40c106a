"""Whom a client certificate names: its subject, its alternative names and its fingerprint, each as one text.

A consumer is found by comparing texts, so what one certificate has and what a tenant writes must become the same one:

    subject      RFC 4514, last RDN first, short names where that has one, the parts of one RDN sorted:
                 `CN=orders,O=Acme GmbH`, `1.2.840.113549.1.9.1=a@acme.test,CN=orders`. Case and spaces count.
    san          `dns:` name in lower case, `uri:` as it is, `email:` the part after the @ in lower case, `ip:` shortest
                 form. The kind belongs to the text: an authority that may sign any mail address may not be any host.
    fingerprint  SHA-256 of the certificate, 64 lower-case hexadecimal digits; colons may be written.

    code                    refused
    consumer_value_invalid  a value that no certificate can have in this field
    group_invalid           a group that is empty, too long, or has a control character
    groups_from_invalid     neither O, OU, nor uri: with a prefix
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from core.errors import NameplateError

Kind = Literal["san", "subject", "fingerprint"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_VALUE = 1024  # octets of UTF-8: PostgreSQL has an index of them
MAX_GROUP = 128
MAX_GROUPS = 32  # of a consumer
MAX_PREFIX = 256

# What people's tools write where RFC 4514 has no short name.
SHORT_NAMES = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
}
POINTERS = {"consumer_value_invalid": "/value", "group_invalid": "/groups", "groups_from_invalid": "/groupsFrom"}
GROUP_FIELDS = {"O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
URI = "uri:"

_dns = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
).fullmatch
_uri = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+").fullmatch
_email = re.compile(r"[!-?A-~]+@[!-?A-~]+").fullmatch
_hex = re.compile(r"[0-9a-f]{64}").fullmatch
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


class ClientIdentityError(NameplateError):
    """What a tenant wrote cannot name a client. `pointer`: to the member of the document that is at fault."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.pointer = POINTERS[code]


def subject_of(certificate: x509.Certificate) -> str:
    """ "" for an empty subject. Raises ValueError for one that cannot be read."""
    return subject_text(certificate.subject)


def subject_text(subject: x509.Name) -> str:
    return ",".join("+".join(sorted(part.rfc4514_string() for part in rdn)) for rdn in reversed(subject.rdns))


def sans_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """In the certificate's order; those of other kinds are left out. Raises ValueError if they cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(dict.fromkeys(text for name in names if (text := _san_text(name)) is not None))


def fingerprint_of(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def parse_value(kind: Kind, text: str) -> str:
    """The normal form of a consumer's value. Raises ClientIdentityError."""
    if _control(text) or not 0 < len(text.encode()) <= MAX_VALUE:
        raise ClientIdentityError(
            "consumer_value_invalid", f"A value has 1 to {MAX_VALUE} octets of UTF-8, and no control characters."
        )
    value = _PARSERS[kind](text)
    # An escape may stand for a control character.
    if value is None or _control(value) or len(value.encode()) > MAX_VALUE:
        raise ClientIdentityError("consumer_value_invalid", _EXAMPLES[kind])
    return value


def parse_group(text: str) -> str:
    """A group as it is. Raises ClientIdentityError."""
    if not 0 < len(text) <= MAX_GROUP or _control(text):
        raise ClientIdentityError("group_invalid", f"A group has 1 to {MAX_GROUP} characters, and none of control.")
    return text


def parse_groups_from(text: str) -> str:
    """Raises ClientIdentityError."""
    prefix = text.removeprefix(URI)
    if text in GROUP_FIELDS or (prefix != text and len(prefix) <= MAX_PREFIX and _uri(prefix)):
        return text
    raise ClientIdentityError(
        "groups_from_invalid", "It is O, OU, or uri: with a prefix, as uri:spiffe://acme.test/group/."
    )


def groups_of(certificate: x509.Certificate, groups_from: str) -> tuple[str, ...]:
    """What a field of the certificate says, in its order. Raises ValueError if it cannot be read."""
    if groups_from in GROUP_FIELDS:
        found = certificate.subject.get_attributes_for_oid(GROUP_FIELDS[groups_from])
        return tuple(dict.fromkeys(part.value for part in found if isinstance(part.value, str) and part.value))
    after = (san.removeprefix(groups_from) for san in sans_of(certificate) if san.startswith(groups_from))
    return tuple(dict.fromkeys(group for group in after if group))


def _san_text(name: x509.GeneralName) -> str | None:
    match name:
        case x509.DNSName():
            return f"dns:{name.value.lower()}"
        case x509.UniformResourceIdentifier():
            return f"uri:{name.value}"
        case x509.RFC822Name():
            return f"email:{_lower_host(name.value)}"
        case x509.IPAddress():
            return f"ip:{name.value}"
        case _:
            return None


def _parse_subject(text: str) -> str | None:
    try:
        return subject_text(x509.Name.from_rfc4514_string(text, SHORT_NAMES))
    except (ValueError, TypeError, KeyError):
        return None


def _parse_san(text: str) -> str | None:
    kind, _, value = text.partition(":")
    parse = _SANS.get(kind.lower())
    parsed = None if parse is None else parse(value)
    return None if parsed is None else f"{kind.lower()}:{parsed}"


def _parse_dns(value: str) -> str | None:
    lowered = value.lower() if value.isascii() else ""
    return lowered if len(lowered) <= 253 and _dns(lowered) else None


def _parse_email(value: str) -> str | None:
    return _lower_host(value) if _email(value) else None


def _parse_ip(value: str) -> str | None:
    try:
        return None if "%" in value else str(ip_address(value))  # a zone is its host's own business
    except ValueError:
        return None


def _parse_fingerprint(text: str) -> str | None:
    digits = text.lower().replace(":", "")
    return digits if _hex(digits) else None


def _lower_host(address: str) -> str:
    local, at, host = address.rpartition("@")
    return local + at + host.lower()


_SANS: Mapping[str, Callable[[str], str | None]] = {
    "dns": _parse_dns,
    "uri": lambda value: value if _uri(value) else None,
    "email": _parse_email,
    "ip": _parse_ip,
}
_PARSERS: Mapping[Kind, Callable[[str], str | None]] = {
    "san": _parse_san,
    "subject": _parse_subject,
    "fingerprint": _parse_fingerprint,
}
_EXAMPLES: Mapping[Kind, str] = {
    "san": "A name is dns:, uri:, email: or ip: with one, as uri:spiffe://acme.test/orders.",
    "subject": "A subject is written as in RFC 4514, last part first and without spaces: CN=orders,O=Acme GmbH.",
    "fingerprint": "A fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits.",
}
