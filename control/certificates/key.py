"""The key of an order under way: made in memory, kept in Vault until its certificate is stored, and nowhere else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from control.vault import Vault, VaultConflict, VaultError
from core.vault import pending_key_path


@dataclass(frozen=True, slots=True)
class PendingKey:
    """ECDSA P-256; `pem` is PKCS #8."""

    pem: str = field(repr=False)

    @classmethod
    def make(cls) -> PendingKey:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    @classmethod
    async def of_domain(cls, vault: Vault, domain_id: UUID) -> PendingKey:
        """The stored one, or a new one once it is stored. Raises VaultError."""
        path = pending_key_path(domain_id)
        stored, cas = await vault.read_with_cas(path)
        if stored is None:
            with suppress(VaultConflict):  # a worker that lost its lease was first, or an older write arrived late
                await vault.write(path, {"key": cls.make().pem}, cas=cas)
            # Read back, so that it is the stored key that is used.
            stored = await vault.read(path)
        if stored is None:
            raise VaultConflict(path)
        key = cls(str(stored.data.get("key", "")))
        try:
            key.private_key()
        except (ValueError, TypeError):
            await vault.destroy(path)
            raise VaultError("pending_key_unreadable", "What Vault has as the key of the order is not one.") from None
        return key

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(self.pem.encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("not an ECDSA key")
        return key

    def fits(self, leaf: x509.Certificate) -> bool:
        return leaf.public_key() == self.private_key().public_key()

    def signing_request(self, hostname: str) -> x509.CertificateSigningRequest:
        """The name is in subjectAltName only: a common name ends at 64 characters, and CAs no longer want one."""
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
            .sign(self.private_key(), hashes.SHA256())
        )
