"""The certificates that upstreams are shown, from Vault, in memory as those of domains are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from core.certificate import Certificate, CertificateError
from core.vault import identity_path
from sidecar.certs.secrets import LoadedCertificate, SecretCache, Wanted, version_of
from sidecar.edge.model import IDENTITY_SECRET, Identity


@dataclass(frozen=True, slots=True)
class WantedIdentity:
    """An identity of the edge, as the cache wants it. `hostname`: the secret's name."""

    hostname: str
    fingerprint: str
    vault_version: int
    domain_id: str = ""
    uploaded: bool = False

    @classmethod
    def of(cls, identity: Identity) -> WantedIdentity:
        return cls(IDENTITY_SECRET + identity.name, identity.fingerprint, identity.vault_version)

    @property
    def version(self) -> str:
        return version_of(self.fingerprint, self.vault_version)


class IdentityCache(SecretCache):
    """Asked for WantedIdentity only. What a certificate names does not matter: upstreams decide whom they know.

    One that no row names is not served: control may have written it in vain, or for somebody who was then refused.
    """

    async def _read(self, entry: Wanted) -> LoadedCertificate:
        record = await self._record(identity_path(entry.hostname.removeprefix(IDENTITY_SECRET)), entry.vault_version)
        certificate = Certificate.from_vault(dict(record.data))
        if certificate.fingerprint != entry.fingerprint:
            raise CertificateError("certificate_not_announced", "Vault has another certificate than the row names.")
        certificate.check_dates(datetime.now(UTC))
        return LoadedCertificate.create(certificate, record.version)
