"""Signing secrets of webhooks: made here, kept in Vault only, shown once; and the signature (Standard Webhooks).

    {mount}/data/nameplate/notifications/{endpoint_id}   {"secret": "whsec_…", "previous": …, "previous_until": …}

A rotated secret signs beside the new one for OVERLAP, so that receivers change at their leisure.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cachetools import LRUCache
from standardwebhooks import Webhook

from control.vault import Vault
from core.errors import NameplateError
from core.vault import signing_secret_path

SECRET_BYTES = 32  # the specification: 24 to 64
OVERLAP = timedelta(hours=24)
KEPT = 1000  # secrets in memory: a read of Vault costs milliseconds, and one endpoint is told many things at once


class SecretMissing(NameplateError):
    """Vault has no secret for the endpoint, not the version that the row names, or something else in its place."""

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__("signing_secret_missing", f"Vault has no signing secret for endpoint {endpoint_id}.")


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None

    def in_force(self, now: datetime) -> Sequence[str]:
        if self.previous is None or self.previous_until is None or now >= self.previous_until:
            return (self.current,)
        return (self.current, self.previous)

    def to_data(self) -> Mapping[str, Any]:
        until = self.previous_until.isoformat() if self.previous_until else None
        return {"secret": self.current, "previous": self.previous, "previous_until": until}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> SigningSecrets:
        until = data.get("previous_until")
        return cls(str(data.get("secret")), data.get("previous"), datetime.fromisoformat(until) if until else None)


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether a receiver's library can read it: whsec_ and 24 to 64 bytes in base64."""
    try:
        raw = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(raw) <= 64


def headers(message: str, body: bytes, keys: Sequence[str], now: datetime) -> Mapping[str, str]:
    """The three headers that a receiver verifies. `message`: its name. `keys`: each signs."""
    signatures = [Webhook(key).sign(message, now.astimezone(UTC), body.decode()) for key in keys]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Secrets:
    """All methods raise control.vault.VaultError."""

    def __init__(self, vault: Vault, now: Callable[[], datetime]) -> None:
        self._vault = vault
        self._now = now
        self._kept: LRUCache[tuple[UUID, int], SigningSecrets] = LRUCache(KEPT)

    async def create(self, endpoint_id: UUID, secret: str) -> int:
        """Keep the first one, and return its version."""
        data = SigningSecrets(secret).to_data()
        return await self._vault.write(signing_secret_path(endpoint_id), data, cas=0)

    async def latest(self, endpoint_id: UUID, secret: str) -> int:
        """The version that is there, whoever wrote it; or this secret's, if there is none."""
        stored, cas = await self._vault.read_with_cas(signing_secret_path(endpoint_id))
        if stored is not None:
            return stored.version
        return await self._vault.write(signing_secret_path(endpoint_id), SigningSecrets(secret).to_data(), cas=cas)

    async def rotate(self, endpoint_id: UUID, version: int, secret: str) -> tuple[int, datetime]:
        """Replace the one of this version. Returns the new version, and until when the old one signs too.

        A version that was written, but not into the endpoint's row, was shown to nobody and counts for nothing.
        Raises SecretMissing.
        """
        path = signing_secret_path(endpoint_id)
        _, cas = await self._vault.read_with_cas(path)
        until = self._now() + OVERLAP
        old = await self._read(endpoint_id, version)
        return await self._vault.write(path, SigningSecrets(secret, old.current, until).to_data(), cas=cas), until

    async def in_force(self, endpoint_id: UUID, version: int) -> Sequence[str]:
        """With what is signed now, the newest first. Raises SecretMissing."""
        return (await self._read(endpoint_id, version)).in_force(self._now())

    async def _read(self, endpoint_id: UUID, version: int) -> SigningSecrets:
        kept = self._kept.get((endpoint_id, version))
        if kept is None:
            stored = await self._vault.read(signing_secret_path(endpoint_id), version)
            if stored is None:
                raise SecretMissing(endpoint_id)
            kept = SigningSecrets.from_data(stored.data)
            if not is_secret(kept.current):
                raise SecretMissing(endpoint_id)
            self._kept[endpoint_id, version] = kept
        return kept

    async def destroy(self, endpoint_id: UUID) -> None:
        await self._vault.destroy(signing_secret_path(endpoint_id))
