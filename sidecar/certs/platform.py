"""The platform's own wildcard certificate, which is served without SNI and for platform subdomains.

It is no row of a table: an operator writes it to Vault, and it is looked at again every minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog

from core.certificate import Certificate, CertificateError
from core.vault import DEFAULT_CERTIFICATE
from sidecar.certs.secrets import LoadedCertificate, Reader, Trouble, fresh
from sidecar.certs.vault_answers import VaultError, VaultNotFound

INTERVAL: Final = 60.0  # seconds between looks
RETRY: Final = 0.5  # while there is none, also between reads for those who need it

log = structlog.stdlib.get_logger(__name__)


class PlatformCertificate:
    """`platform_domain`: normal form; the certificate must name `*.{platform_domain}`.

    `on_change` is called (on the loop, without arguments) after `current` changed.
    """

    def __init__(self, vault: Reader, platform_domain: str, *, interval: float = INTERVAL) -> None:
        self._vault = vault
        self._hostname = f"*.{platform_domain}"
        self._interval = interval
        self._failure: VaultError | CertificateError | None = None
        self._failed_at = 0.0
        self._look: asyncio.Task[None] | None = None
        self.current: LoadedCertificate | None = None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def trouble(self) -> Trouble | None:
        """Why the last look failed; None: it did not."""
        failure = self._failure
        if failure is None:
            return None
        return Trouble(failure.code, failure.message, time.time() - (time.monotonic() - self._failed_at))

    async def load(self) -> LoadedCertificate:
        """The certificate, read now if there is none. Raises VaultError, CertificateError."""
        if self.current is None:
            if self._failure is not None and time.monotonic() < self._failed_at + RETRY:
                raise fresh(self._failure)
            await self.look()
        if self.current is None:
            raise VaultNotFound("There is no certificate of the platform.")
        return self.current

    async def look(self) -> None:
        """Read it from Vault; callers at one time share one read. Raises VaultError, CertificateError."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._read(), name="platform certificate")
            self._look.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # seen, also without a caller
        await asyncio.shield(self._look)

    async def run(self) -> None:
        """Look again and again, until cancelled. A failure leaves the certificate as it was."""
        while True:
            with suppress(VaultError, CertificateError):
                await self.look()
            await asyncio.sleep(self._interval if self.current is not None else min(RETRY, self._interval))

    async def close(self) -> None:
        """End the look under way, which nobody ends by no longer waiting for it."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _read(self) -> None:
        try:
            record = await self._vault.read(DEFAULT_CERTIFICATE)
            certificate = Certificate.from_vault(dict(record.data))
            certificate.check(self._hostname, datetime.now(UTC))
        except (VaultError, CertificateError) as error:
            if self._failure is None or self._failure.code != error.code:
                log.warning("platform_certificate_not_loaded", code=error.code, reason=error.message)
            self._failure, self._failed_at = fresh(error), time.monotonic()
            raise
        self._failure = None
        loaded = LoadedCertificate.create(certificate, record.version)
        if self.current is None or self.current.version != loaded.version:
            self.current = loaded
            log.info("platform_certificate_loaded", not_after=certificate.not_after.isoformat())
            self.on_change()
