"""What is hashed, and how. The same as in migration 0011, written a second time: a verifier that asked the database for
the digests would believe whoever has changed it.

A digest is the SHA-256 of its parts, each as `<bytes>:<part>,`, so that no two lists of parts have one digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of `audit`. `at`: microseconds since 1970; None: it is no time. `detail`: as PostgreSQL writes jsonb."""

    id: int
    at: int | None
    tenant_id: UUID
    domain_id: UUID
    hostname: str
    actor: str
    action: str
    detail: str

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Of COLUMNS."""
        return cls(
            row["id"],
            microseconds(row["epoch"]),
            row["tenant_id"],
            row["domain_id"],
            row["hostname"],
            row["actor"],
            row["action"],
            row["detail"],
        )


# What Entry.from_row reads, of `audit a`.
COLUMNS = """a.id, extract(epoch FROM a.at)::text AS epoch, a.tenant_id, a.domain_id, a.hostname, a.actor, a.action,
    a.detail::text AS detail"""


def microseconds(epoch: str | None) -> int | None:
    """'1795287600.000001' → 1795287600000001. Somebody may have written `infinity` there."""
    try:
        return int(Decimal(epoch or "NaN") * 1_000_000)
    except (InvalidOperation, ValueError, OverflowError):
        return None


def digest(*parts: str) -> bytes:
    return sha256(b"".join(b"%d:%s," % (len(part), part) for part in (part.encode() for part in parts))).digest()


def genesis(tenant_id: UUID) -> bytes:
    """What the first row of a tenant comes after."""
    return digest("nameplate audit 1", str(tenant_id))


def seal(previous: bytes, entry: Entry, audit_id: int | None = None) -> bytes:
    """The hash of a row that comes after `previous`. `audit_id`: another row that it may have been."""
    return digest(
        previous.hex(),
        str(entry.id if audit_id is None else audit_id),
        str(entry.at),
        str(entry.tenant_id),
        str(entry.domain_id),
        str(entry.hostname),
        str(entry.actor),
        str(entry.action),
        str(entry.detail),
    )


FIRST_CHECKPOINT = digest("nameplate audit checkpoints 1")


def checkpoint(previous: bytes, number: int, heads: str) -> bytes:
    """`heads`: as PostgreSQL writes jsonb."""
    return digest(previous.hex(), str(number), heads)
