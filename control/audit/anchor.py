"""Checkpoints of the audit log, and their end in Vault, where whoever can write to PostgreSQL cannot follow.

A checkpoint lists the chains that have moved since the one before. What was written after the last one can be cut off
unseen; so one is made every few minutes. Vault is never made to forget: when what it has is not what PostgreSQL has,
nothing more is written there until somebody has looked (`nameplate audit verify`, `nameplate audit accept`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from control import rounds
from control.vault import Vault, VaultConflict, VaultError
from core.errors import NameplateError
from core.vault import AUDIT_CHECKPOINT

EVERY = 300.0  # seconds, with jitter; replicas take turns by the advisory lock
LOCK = 0x6E616D6561756469
MOST_HEADS = 5000  # of a checkpoint; there is another one right after it when more have moved

log = structlog.get_logger(__name__)

MAKE = """
WITH moved AS (
    UPDATE audit_heads SET anchored = seq
    WHERE tenant_id IN (SELECT tenant_id FROM audit_heads WHERE anchored < seq
                        ORDER BY tenant_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING tenant_id, seq, hash),
listed AS (
    SELECT jsonb_object_agg(tenant_id, jsonb_build_array(seq, encode(hash, 'hex'))) AS heads, count(*) AS number
    FROM moved),
next AS (
    SELECT coalesce(max(number), 0) + 1 AS number, coalesce(
        (SELECT hash FROM audit_checkpoints ORDER BY number DESC LIMIT 1),
        audit_digest_v1(ARRAY['nameplate audit checkpoints 1'])) AS previous
    FROM audit_checkpoints),
made AS (
    INSERT INTO audit_checkpoints (number, heads, previous, hash)
    SELECT next.number, heads, previous,
        audit_digest_v1(ARRAY[encode(previous, 'hex'), next.number::text, heads::text])
    FROM next, listed WHERE heads IS NOT NULL)
SELECT number FROM listed
"""
LATEST = "SELECT number, hash FROM audit_checkpoints ORDER BY number DESC LIMIT 1"


class AnchorMismatch(NameplateError):
    """Vault's checkpoint is not PostgreSQL's: the log was changed, or the database is an older copy."""

    def __init__(self, number: int) -> None:
        super().__init__(
            "audit_anchor_mismatch", f"The audit log does not have checkpoint {number} as it was written to Vault."
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last checkpoint that Vault was told of."""

    number: int
    hash: bytes

    @classmethod
    def from_vault(cls, data: Any) -> Anchor:
        """Raises VaultError."""
        try:
            return cls(int(data["number"]), bytes.fromhex(data["hash"]))
        except (KeyError, TypeError, ValueError):
            raise VaultError(
                "audit_anchor_unreadable", "What Vault has as the audit's checkpoint is not one."
            ) from None


FIRST = 10.0  # seconds after the start


class AnchorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.mismatch = Gauge(
            "nameplate_audit_anchor_mismatch",
            "1 if the audit log does not have the checkpoint that Vault has: it was changed, or is an older copy.",
            registry=registry,
        )
        self.anchored = Gauge(
            "nameplate_audit_anchored_timestamp_seconds",
            "When the audit log's end was last seen to be in Vault; 0: not since the start.",
            registry=registry,
        )


class Anchoring:
    """`every`: seconds between two checkpoints."""

    def __init__(
        self, pool: asyncpg.Pool[Any], vault: Vault, every: float = EVERY, metrics: AnchorMetrics | None = None
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._every = every
        self._metrics = metrics

    async def run(self) -> None:
        """For as long as the process lives; the first soon after its start, because some do not live long."""
        await rounds.keep(self._round, self._every, "audit_not_anchored", first=min(FIRST, self._every))

    async def _round(self) -> None:
        try:
            await self.anchor()
        except AnchorMismatch as error:
            log.error("audit_anchor_mismatch", reason=str(error))
            self._show(mismatch=True)
        else:
            self._show(mismatch=False)

    def _show(self, *, mismatch: bool) -> None:
        if self._metrics is not None:
            self._metrics.mismatch.set(mismatch)
            if not mismatch:
                self._metrics.anchored.set_to_current_time()

    async def anchor(self) -> None:
        """Make the checkpoints that are due, and take the last one to Vault.

        Raises AnchorMismatch, VaultError, and asyncpg's errors.
        """
        while await self._make() == MOST_HEADS:
            pass
        await self._take()

    async def accept(self) -> Anchor | None:
        """Take what PostgreSQL has for the truth, as after a restore from a backup. Vault keeps its old versions."""
        while await self._make() == MOST_HEADS:
            pass
        return await self._take(check=False)

    async def _make(self) -> int:
        """Returns how many heads were listed."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return 0
            return int(await connection.fetchval(MAKE, MOST_HEADS))

    async def _take(self, *, check: bool = True) -> Anchor | None:
        # Vault first: what PostgreSQL says afterwards is at least as new.
        stored, cas = await self._vault.read_with_cas(AUDIT_CHECKPOINT)
        row = await self._pool.fetchrow(LATEST)
        latest = None if row is None else Anchor(*row)
        known = None if stored is None else Anchor.from_vault(stored.data) if check else None
        if known is not None and known == latest:
            return latest
        if known is not None:
            own = await self._pool.fetchval("SELECT hash FROM audit_checkpoints WHERE number = $1", known.number)
            if own != known.hash:
                raise AnchorMismatch(known.number)
        if latest is None:
            return None
        if stored is None and cas > 0 and check:
            log.warning("audit_anchor_lost")  # somebody has deleted it
        try:
            await self._vault.write(AUDIT_CHECKPOINT, {"number": latest.number, "hash": latest.hash.hex()}, cas=cas)
        except VaultConflict:
            log.info("audit_anchored_elsewhere")  # by another replica, in this moment
        return latest
