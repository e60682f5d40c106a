"""The audit of all tenants: which rows are wanted, and one of them with what its seal says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.representation import timestamp

SealState = Literal["sealed", "changed", "unsealed"]


@dataclass(frozen=True, slots=True)
class AuditWanted:
    """`actor`: the whole of it; `tenant:`, `operator:` or `control:` for all of a kind. `since`, `until`: of `at`."""

    hostname: str | None = None
    tenant_id: UUID | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """`seq`: its place in its tenant's chain; None: it has none. `anchored`: a checkpoint covers it.

    `seal`: whether it is what its seal says, and that follows the one before.
    """

    id: int
    at: datetime
    tenant_id: UUID
    domain_id: UUID
    hostname: str
    actor: str
    action: str
    detail: Mapping[str, Any]
    seq: int | None
    seal: SealState
    anchored: bool


def audit_of(row: AuditRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": timestamp(row.at),
        "tenant": str(row.tenant_id),
        "domain": str(row.domain_id),
        "hostname": row.hostname,
        "actor": row.actor,
        "action": row.action,
        "detail": dict(row.detail),
        "chain": {"seq": row.seq, "state": row.seal, "anchored": row.anchored},
    }
