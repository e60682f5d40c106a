"""What the API asks of uploaded certificates: the Protocol it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.uploads.tenant` implements the Protocol.

    DomainsError
    ├── NoUpload             the domain has no uploaded certificate
    ├── UploadsTooMany       the tenant has uploaded too many in an hour; says when the next may be
    ├── UploadOvertaken      another upload for the same domain began later; that one decides
    └── KeysUnavailable      the key can be neither kept nor looked for now; nothing was changed
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from api.auth import Principal
from api.service import DomainsError
from core.domain import CertificateFacts

MAX_UPLOADS = 100  # of a tenant in an hour, refused ones included
WARN_BEFORE = timedelta(days=30)  # documents say that an uploaded certificate ends; control tells people as well

Source = Literal["uploaded", "managed"]


@dataclass(frozen=True, slots=True)
class Upload:
    """`names`: the leaf's. `served_until`: then the managed one takes over, if there is one that lasts longer."""

    facts: CertificateFacts
    names: tuple[str, ...]
    uploaded_at: datetime
    served_until: datetime


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of a domain. `serving`: whether the one in use is served at all: the name is proven."""

    domain_id: UUID
    hostname: str
    uploaded: Upload | None
    managed: CertificateFacts | None
    serving: bool

    @property
    def in_use(self) -> Source | None:
        if self.uploaded is not None:
            return "uploaded"
        return None if self.managed is None else "managed"


@dataclass(frozen=True, slots=True)
class Taken:
    """`created`: there was none before."""

    certificates: Certificates
    created: bool


class Uploads(Protocol):
    """Each method for one tenant. Every method may raise DomainNotFound and Unavailable."""

    async def put(self, caller: Principal, domain_id: UUID, chain_pem: str, key_pem: str) -> Taken:
        """Keep the pair, and serve it once the name is proven; the same again changes nothing.

        Raises core.upload.UploadError, core.certificate.CertificateError (certificate_wrong_name), UploadsTooMany,
        UploadOvertaken, KeysUnavailable.
        """
        ...

    async def find(self, caller: Principal, domain_id: UUID) -> Certificates: ...

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        """Back to the managed certificate. Raises NoUpload."""
        ...


class NoUpload(DomainsError):
    def __init__(self) -> None:
        super().__init__("certificate_not_uploaded", "This domain has no uploaded certificate.")


class UploadsTooMany(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, most: int, retry_after: int) -> None:
        super().__init__("uploads_too_many", f"A tenant may upload {most} certificates in an hour.")
        self.retry_after = retry_after


class UploadOvertaken(DomainsError):
    def __init__(self) -> None:
        super().__init__("upload_overtaken", "Another upload for this domain began later, or this one took too long.")


class KeysUnavailable(DomainsError):
    def __init__(self) -> None:
        super().__init__("keys_not_kept", "The key cannot be kept now; nothing was changed; try again shortly.")
