"""What the operator's view shows, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from api.admin.differences import facts
from api.admin.overview import (
    AuditRow,
    BucketUse,
    CaLimits,
    DeliveryRow,
    DomainFacts,
    DomainRow,
    Explained,
    Explanation,
    Figures,
    Fleet,
    Replica,
    Sidecar,
)
from api.admin.troubles import Trouble
from api.representation import certificate, timestamp
from core.domain import Finding


def overview_of(fleet: Fleet, figures: Figures, found: Sequence[Trouble]) -> dict[str, Any]:
    live = fleet.live
    return {
        "at": timestamp(fleet.now),
        "replica": fleet.replica,
        "problems": [trouble_of(one) for one in found],
        "sidecars": {
            "live": len(live),
            "upToDate": sum(one.newest for one in live),
            "gone": len(fleet.sidecars) - len(live),
            "heardAll": fleet.heard_all,
        },
        "envoys": {
            "connected": sum(one.envoys or 0 for one in live),
            "acknowledged": sum(one.acknowledged for one in live),
            "rejecting": sum(one.rejected for one in live),
        },
        "figures": figures_of(figures),
    }


def trouble_of(trouble: Trouble) -> dict[str, Any]:
    return {
        "code": trouble.code,
        "level": trouble.level,
        "message": trouble.message,
        "page": trouble.page,
        "command": trouble.command,
    }


def figures_of(figures: Figures) -> dict[str, Any]:
    return {
        "countedAt": timestamp(figures.at),
        "age": round(figures.age, 3),
        "tookMs": figures.took,
        "tenants": figures.tenants,
        "domains": figures.domains,
        "states": [
            {"status": one.status, "sslStatus": one.ssl_status, "domains": one.number} for one in figures.states
        ],
        "failing": [
            {"code": one.code, "who": one.who, "domains": one.number, "example": one.example} for one in figures.failing
        ],
        "paused": {"byTenant": figures.paused["tenant"], "byPlatform": figures.paused["platform"]},
        "certificates": {
            "expired": figures.expired,
            "endingInDays": {str(days): number for days, number in figures.expiring.items()},
            "renewalsLate": figures.late,
            "renewalsDueInADay": figures.due_day,
        },
        "orders": {"first": figures.first, "renewals": figures.renewals},
        "notifications": {
            "waiting": figures.waiting,
            "oldest": _moment(figures.oldest),
            "dead": figures.dead,
            "endpointsFailing": figures.endpoints_failing,
        },
        "audit": {"unanchored": figures.unanchored, "checkpoint": _moment(figures.checkpoint)},
    }


def fleet_of(fleet: Fleet) -> dict[str, Any]:
    return {
        "replica": fleet.replica,
        "generation": fleet.generation,
        "changedAt": _moment(fleet.changed),
        "listening": round(fleet.listening, 3),
        "heardAll": fleet.heard_all,
        "data": [_sidecar(one) for one in fleet.sidecars],
    }


def _sidecar(sidecar: Sidecar) -> dict[str, Any]:
    counted = sidecar.envoys is not None
    return {
        "id": sidecar.id,
        "live": sidecar.live,
        "heardAge": round(sidecar.heard, 3),
        "generation": sidecar.position,
        "upToDate": sidecar.newest,
        "envoys": {
            "connected": sidecar.envoys,
            "acknowledged": sidecar.acknowledged if counted else None,
            "rejecting": sidecar.rejected if counted else None,
            "rejectedNames": sidecar.rejected_names if counted else None,
        },
        "answersQuestions": sidecar.answers,
    }


def domain_of(row: DomainRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "tenant": str(row.tenant_id),
        "slug": row.slug,
        "hostname": row.hostname,
        "status": row.status,
        "sslStatus": row.ssl_status,
        "reason": finding_of(row.reason),
        "pausedBy": row.paused_by,
        "certificate": None if row.expires is None else "uploaded" if row.uploaded else "managed",
        "certExpiry": _moment(row.expires),
        "renewAt": _moment(row.renew_at),
        "renewalLate": row.late,
        "nextAttempt": None
        if row.next_attempt is None
        else {
            "at": timestamp(row.next_attempt.at),
            "code": row.next_attempt.code,
            "message": row.next_attempt.message,
        },
        "failureCount": row.failures,
        "createdAt": timestamp(row.created_at),
        "updatedAt": timestamp(row.updated_at),
        "deletedAt": _moment(row.deleted_at),
    }


def facts_of(domain: DomainFacts) -> dict[str, Any]:
    held = domain.certificate
    return domain_of(domain.row) | {
        "generation": domain.generation,
        "dns": finding_of(domain.dns, whole=True),
        "ssl": finding_of(domain.ssl, whole=True),
        "certificateFacts": None
        if held is None
        else {"source": held["source"], "ca": held["ca"], **certificate(held["facts"])},
        "job": None if domain.job is None else {**domain.job, "runAt": timestamp(domain.job["runAt"])},
    }


def finding_of(finding: Finding | None, *, whole: bool = False) -> dict[str, Any] | None:
    """In the platform's own words: operators are told what tenants are not."""
    if finding is None:
        return None
    said: dict[str, Any] = {
        "code": finding.code,
        "message": finding.message,
        "who": finding.who,
        "at": timestamp(finding.at),
    }
    return said | {"detail": dict(finding.detail)} if whole else said


def limits_of(limits: Sequence[CaLimits]) -> dict[str, Any]:
    return {"data": [_limits(one) for one in limits]}


def _limits(ca: CaLimits) -> dict[str, Any]:
    return {
        "ca": ca.name,
        "directoryUrl": ca.directory_url,
        "account": [_bucket(one) for one in ca.account],
        "busiest": [_bucket(one) for one in ca.busiest],
        "refused": [{"scope": scope, "key": key, "until": timestamp(until)} for scope, key, until in ca.refused],
        "forecast": {
            "ordersPerDay": ca.per_day,
            "ordersWaiting": ca.waiting,
            "lastTurnAt": _moment(ca.waiting_until),
            "renewalsDueInADay": ca.due_day,
        },
    }


def _bucket(use: BucketUse) -> dict[str, Any]:
    return {
        "limit": use.name,
        "subject": use.subject,
        "key": use.key,
        "capacity": use.capacity,
        "used": use.used,
        "room": use.room,
        "nextAt": _moment(use.next_at),
        "fullAt": _moment(use.full_at),
    }


def cas_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    return {"data": [_replica(one) for one in replicas]}


def _replica(replica: Replica) -> dict[str, Any]:
    return {
        "replica": replica.name,
        "startedAt": timestamp(replica.started_at),
        "heardAge": round(replica.heard, 3),
        "live": replica.live,
        "ended": replica.ended,
        "answering": replica.mine,
        "cas": [
            {
                "ca": one.name,
                "directoryUrl": one.directory_url,
                "state": one.state,
                "failures": one.failures,
                "outages": one.outages,
                "passedOverUntil": _moment(one.until),
                "lastFailure": None
                if one.last_failure is None
                else {
                    "code": one.last_failure.code,
                    "message": one.last_failure.message,
                    "at": timestamp(one.last_failure.at),
                },
                "lastSuccessAt": _moment(one.last_success),
            }
            for one in replica.cas
        ],
    }


def delivery_of(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "tenant": None if row.tenant_id is None else str(row.tenant_id),
        "endpoint": {
            "id": str(row.endpoint_id),
            "kind": row.kind,
            "address": row.address,
            "enabled": row.enabled,
        },
        "event": row.event,
        "domain": None if row.domain_id is None else str(row.domain_id),
        "hostname": row.hostname,
        "state": row.state,
        "attempts": row.attempts,
        "createdAt": timestamp(row.created_at),
        "settledAt": _moment(row.settled_at),
        "nextAttemptAt": _moment(row.due_at),
        "lastFailure": None if row.last_attempt is None else dict(row.last_attempt),
    }


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


def explanation_of(explanation: Explanation) -> dict[str, Any]:
    return {
        "host": explanation.host,
        "sni": explanation.sni,
        "path": explanation.path,
        "at": timestamp(explanation.at),
        "waited": round(explanation.waited, 3),
        "facts": [
            {"fact": one.name, "differs": one.differs, "values": dict(one.values)}
            for one in facts(explanation.sidecars)
        ],
        "sidecars": [_explained(one) for one in explanation.sidecars],
    }


def _explained(one: Explained) -> Mapping[str, Any]:
    return {
        "sidecar": one.sidecar,
        "state": one.state,
        "after": None if one.after is None else round(one.after, 3),
        "error": None if one.error is None else dict(one.error),
        "answer": None if one.answer is None else dict(one.answer),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
