"""Certificates of any shape, in memory: roots, intermediates, leaves, cross-signatures; their keys in any encoding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """`key` of whatever kind. A leaf's own `pem` is without its issuer's."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return encoded(self.key)


def encoded(key: Any, form: str = "PKCS8", passphrase: bytes | None = None) -> str:
    """`form`: PKCS8, or TraditionalOpenSSL (`BEGIN EC PRIVATE KEY`)."""
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), hidden).decode()


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue(
    name: str,
    by: Issued | None = None,
    *,
    names: tuple[str, ...] = (),
    key: Any = None,
    ca: bool | None = False,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 30 * DAY,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> Issued:
    """`by`: None for a self-signed one. `ca`: None leaves the basic constraints out."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(by.certificate.subject if by else named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = by.key if by else key
    return Issued(builder.sign(signer, hashes.SHA256()), key)


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A root, two intermediates below each other, and a leaf."""

    root: Issued
    upper: Issued
    lower: Issued
    leaf: Issued

    @classmethod
    def of(cls, *names: str, **leaf: Any) -> Hierarchy:
        """`leaf`: of `issue`."""
        root = issue("Root", ca=True)
        upper = issue("Upper", root, ca=True)
        lower = issue("Lower", upper, ca=True)
        return cls(root, upper, lower, issue("leaf", lower, names=names, **leaf))

    @property
    def chain(self) -> str:
        """As a CA hands it out: leaf first, without the root."""
        return self.leaf.pem + self.lower.pem + self.upper.pem
