"""Asks the CAs when they want their certificates to be renewed (RFC 9773), and moves the renewals there.

A certificate is asked for when it is new and then as often as its CA wants; `renewal_info_at` NULL: never again. What
is due stays due, whatever the CA says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from control import rounds
from control.acme.problems import AcmeError
from control.acme.renewal_info import RenewalInfo
from control.certificates import renewal
from control.certificates.authorities import Authorities
from control.vault import VaultError

EVERY = 30.0  # seconds between two looks, with jitter, once nothing is due
BATCH, AT_ONCE = 64, 8
# What was taken by a replica that died is taken again after this.
TAKEN = timedelta(minutes=10)
TROUBLE = timedelta(hours=1)
# A CA may not know a certificate everywhere that it has just issued.
NEW, ASK_NEW_AGAIN = timedelta(days=1), timedelta(hours=6)

log = structlog.get_logger(__name__)

TAKE = """
WITH taken AS (
    UPDATE custom_domains SET renewal_info_at = $3
    WHERE id IN (SELECT id FROM custom_domains WHERE deleted_at IS NULL AND status = 'active' AND renewal_info_at <= $1
                 ORDER BY renewal_info_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, certificate_id)
SELECT taken.id, c.id AS certificate_id, c.serial, c.not_before, c.not_after, c.directory_url, c.ari_id,
    lower(c.ari_window) AS window_start, upper(c.ari_window) AS window_end
FROM taken JOIN certificates c ON c.id = taken.certificate_id
"""
# Of a certificate that was replaced meanwhile nothing is written, nor where somebody else has set another time.
MOVE = """
UPDATE custom_domains SET renewal_info_at = $4,
    renew_at = CASE WHEN renew_at <= $5 THEN renew_at ELSE coalesce($6, renew_at) END
WHERE id = $1 AND certificate_id = $2 AND renewal_info_at = $3 RETURNING true
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A certificate, as far as its CA and the schedule need it. `taken`: what `renewal_info_at` is meanwhile."""

    domain_id: UUID
    certificate_id: UUID
    serial: str
    not_before: datetime
    not_after: datetime
    directory_url: str
    ari_id: str | None
    window: renewal.Window | None
    taken: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any], taken: datetime) -> Asked:
        start, end = row["window_start"], row["window_end"]
        return cls(
            row["id"],
            row["certificate_id"],
            row["serial"],
            row["not_before"],
            row["not_after"],
            row["directory_url"],
            row["ari_id"],
            (start, end) if start and end else None,
            taken,
        )


class RenewalInformation:
    """`days_before`: DOMAINS_SSL_RENEW_DAYS_BEFORE."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        authorities: Authorities,
        days_before: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        every: float = EVERY,
    ) -> None:
        self._pool = pool
        self._authorities = authorities
        self._days_before = days_before
        self._now = now
        self._every = every

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.ask, self._every, "renewal_information_not_asked", first=0, batch=BATCH)

    async def ask(self, limit: int = BATCH) -> int:
        """Ask for what is due, longest due first. Returns how many were. Raises asyncpg's errors."""
        now = self._now()
        taken = now + TAKEN
        rows = await self._pool.fetch(TAKE, now, limit, taken)
        silent: set[str] = set()
        places = asyncio.Semaphore(AT_ONCE)

        async def one(asked: Asked) -> None:
            async with places:
                await self._one(asked, silent)

        done = await asyncio.gather(*(one(Asked.from_row(row, taken)) for row in rows), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error
        return len(rows)

    async def _one(self, asked: Asked, silent: set[str]) -> None:
        """`silent`: the CAs that gave no answer in this batch; they are not waited for once more."""
        authority = self._authorities.by_directory(asked.directory_url)
        if authority is None or asked.ari_id is None:
            await self._move(asked, None, None)
            return
        trouble = self._now() + TROUBLE * random.uniform(0.5, 1.5)  # noqa: S311 -- jitter
        if asked.directory_url in silent:
            await self._move(asked, trouble, None)
            return
        try:
            info = await (await authority.client()).renewal_info(asked.ari_id)
        except AcmeError as error:
            silent.add(asked.directory_url)
            log.warning("renewal_information_refused", ca=authority.name, code=error.code, reason=str(error))
            await self._move(asked, max(trouble, self._now() + (error.retry_after or timedelta(0))), None)
            return
        except VaultError as error:
            silent.add(asked.directory_url)
            log.warning("renewal_information_not_asked", ca=authority.name, code=error.code)
            await self._move(asked, trouble, None)
            return
        now = self._now()
        if info is None:
            await self._move(asked, now + ASK_NEW_AGAIN if now - asked.not_before < NEW else None, None)
        else:
            await self._move(asked, now + info.retry_after * random.uniform(1.0, 1.1), info)  # noqa: S311 -- jitter

    async def _move(self, asked: Asked, ask_again: datetime | None, info: RenewalInfo | None) -> None:
        """Write down when to ask again, and the window if it is another one now."""
        window = asked.window if info is None else (info.start, info.end)
        renew_at = None
        if window is not None and window != asked.window:
            seed = renewal.seed_of(asked.domain_id, asked.serial)
            renew_at = renewal.schedule(
                asked.not_before, asked.not_after, days_before=self._days_before, window=window, seed=seed
            )
        async with self._pool.acquire() as connection, connection.transaction():
            stands = await connection.fetchval(
                MOVE, asked.domain_id, asked.certificate_id, asked.taken, ask_again, self._now(), renew_at
            )
            if not stands or window is None or renew_at is None:
                return
            await connection.execute(
                "UPDATE certificates SET ari_window = tstzrange($2, $3) WHERE id = $1", asked.certificate_id, *window
            )
        why = info.explanation_url if info is not None else None
        log.info("renewal_moved", domain_id=str(asked.domain_id), to=renew_at.isoformat(), why=why)
