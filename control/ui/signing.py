"""The key that hand-over links are signed with: made by the first replica that needs it, the same for all.

    {mount}/data/nameplate/ui/signing   {"key": base64 of KEY_BYTES}

Whoever puts another one there makes the links of the last minute invalid, and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Callable
from time import monotonic

import structlog

from api.endpoints import SecretsUnavailable
from control.vault import Vault, VaultConflict, VaultError
from core.vault import UI_SIGNING

KEY_BYTES = 32
LOOK_AGAIN = 10.0  # seconds at least between two looks for a newer one, which anybody can cause by a forged link

log = structlog.get_logger(__name__)


class VaultSigningKeys:
    """`api.ui.links.SigningKeys`. `clock`: seconds."""

    def __init__(self, vault: Vault, clock: Callable[[], float] = monotonic) -> None:
        self._vault = vault
        self._clock = clock
        self._key: bytes | None = None
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self) -> bytes:
        async with self._lock:
            return self._key or await self._look()

    async def newer(self) -> bytes:
        async with self._lock:
            if self._key is None or self._clock() - self._looked >= LOOK_AGAIN:
                return await self._look()
            return self._key

    async def _look(self) -> bytes:
        try:
            self._key = await self._stored()
        except VaultError as error:
            log.warning("ui_signing_key_unavailable", code=error.code)
            raise SecretsUnavailable from None
        self._looked = self._clock()
        return self._key

    async def _stored(self) -> bytes:
        """What is there; or this replica's, unless another one was a moment earlier."""
        stored, cas = await self._vault.read_with_cas(UI_SIGNING)
        if stored is not None:
            return _read(stored.data.get("key"))
        key = secrets.token_bytes(KEY_BYTES)
        try:
            await self._vault.write(UI_SIGNING, {"key": base64.b64encode(key).decode()}, cas=cas)
        except VaultConflict:
            return await self._stored()
        return key


def _read(text: object) -> bytes:
    """Raises VaultError for what is no key."""
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        key = b""
    if len(key) < KEY_BYTES:
        raise VaultError("vault_refused", f"What lies at {UI_SIGNING} is no key.")
    return key
