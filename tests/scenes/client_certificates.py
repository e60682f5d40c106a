"""A tenant's own authorities, and the certificates of their clients. Keys are made once a process: they cost time."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scenes import tls_pair

NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = timedelta(days=365)
HOUR = timedelta(hours=1)

Key = ec.EllipticCurvePrivateKey


@cache
def key(number: int) -> Key:
    """The same number is the same key."""
    return ec.generate_private_key(ec.SECP256R1())


def name(text: str | x509.Name) -> x509.Name:
    """`CN=a,O=b` as RFC 4514 has it; a text without `=` is a common name."""
    if isinstance(text, x509.Name):
        return text
    if "=" in text or not text:
        return x509.Name.from_rfc4514_string(text)
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True, slots=True)
class Leaf:
    """`chain`: the intermediates to send with it."""

    certificate: x509.Certificate
    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    def show_by(self, context: ssl.SSLContext) -> None:
        """Let connections of `context` present it."""
        tls_pair.show(context, self.pem + "".join(map(pem, self.chain)) + self.key_pem)


@dataclass(frozen=True, slots=True)
class Authority:
    """`above`: the intermediates between it and its root, itself first."""

    certificate: x509.Certificate
    key: Key = field(repr=False)
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def root(
        cls,
        called: str = "Root",
        number: int = 1,
        *,
        since: datetime = NOW - YEAR,
        until: datetime = NOW + YEAR,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Authority:
        own = key(number)
        subject = name(called)
        made = _certificate(subject, subject, own, own, since, until, [*_ca(), *extensions])
        return cls(made, own)

    def below(
        self,
        called: str,
        number: int,
        *,
        since: datetime = NOW - YEAR,
        until: datetime = NOW + YEAR,
        path_length: int | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Authority:
        own = key(number)
        signed = _certificate(
            name(called), self.certificate.subject, own, self.key, since, until, [*_ca(path_length), *extensions]
        )
        return Authority(signed, own, (signed, *self.above))

    def issue(
        self,
        subject: str | x509.Name = "CN=client",
        names: Sequence[x509.GeneralName] = (),
        *,
        number: int = 99,
        since: datetime = NOW - HOUR,
        until: datetime = NOW + YEAR,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Leaf:
        added: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        if names:
            added.append((x509.SubjectAlternativeName(names), False))
        own = key(number)
        made = _certificate(name(subject), self.certificate.subject, own, self.key, since, until, [*added, *extensions])
        return Leaf(made, own, self.above)

    def crl(
        self,
        *serials: int,
        since: datetime = NOW - HOUR,
        until: datetime | None = NOW + YEAR,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.CertificateRevocationList:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(since)
        builder = builder.next_update(NOW + YEAR if until is None else until)
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
            builder = builder.add_revoked_certificate(revoked)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension, critical in [(identifier, False), (x509.CRLNumber(1), False), *extensions]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return pem(self.certificate)


def pem(made: x509.Certificate | x509.CertificateRevocationList) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _ca(path_length: int | None = None) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            True,
        ),
    ]


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    own: Key,
    signer: Key,
    since: datetime,
    until: datetime,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())
