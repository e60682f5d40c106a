"""A certificate authority in memory: a root, an intermediate, and leaves for a millisecond each, ECDSA P-256 all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from core.certificate import Certificate

LIFETIME = timedelta(days=30)


class Authority:
    def __init__(self) -> None:
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._root_name, self._name = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Bench Root", "Bench CA")
        )
        self.root_pem = _pem(_build(self._root_name, self._root_key, self._root_name, self._root_key, None))
        self._chain = _pem(_build(self._name, self._key, self._root_name, self._root_key, None))

    def issue(self, hostname: str) -> Certificate:
        """Leaf and intermediate, as from a public CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _build(x509.Name([]), key, self._name, self._key, hostname)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Certificate.parse(_pem(leaf) + self._chain, key_pem)


def _build(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    hostname: str | None,
) -> x509.Certificate:
    """`hostname`: None for a CA."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=hostname is None, path_length=None), critical=True)
    )
    if hostname is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
