"""What operators look at, over a database that a test has filled: the overview, and rows as control leaves them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from api.auth import Operator
from control.acme.ca import Ca
from control.certificates.authorities import Authorities
from control.certificates.propagation import HEARD_ALL, Propagation
from control.limits.limits import Limits
from control.overview.parts import PlatformOverview, overview
from core.feed import Reached, Rejected, Sighting

Control: TypeAlias = "asyncpg.Connection[Any]"

ROOT = Operator("root@platform")
FIRST, SECOND = "https://first.example/dir", "https://second.example/dir"
REPLICA = "control-1"


@dataclass
class Clock:
    ahead: float = HEARD_ALL

    def __call__(self) -> float:
        return monotonic() + self.ahead


@dataclass
class Watched:
    """An overview, and what it hears and knows. `clock`: of what is heard; it has listened long enough."""

    overview: PlatformOverview
    propagation: Propagation
    authorities: Authorities
    clock: Clock


def watched(pool: asyncpg.Pool[Any], replica: str = REPLICA) -> Watched:
    """`pool`: as the workers' role."""
    clock = Clock(0.0)
    propagation = Propagation(clock)
    clock.ahead = HEARD_ALL
    nothing: Any = None  # no account is opened here
    cas = [Ca(name=name, directory_url=url) for name, url in (("first", FIRST), ("second", SECOND))]
    authorities = Authorities.of(cas, nothing, nothing)
    limits = Limits(lambda hostname: hostname.partition(".")[2])
    return Watched(overview(pool, authorities, limits, propagation, replica), propagation, authorities, clock)


def sighted(name: str, position: int, envoys: int | None = 1, rejected: Rejected | None = None, **more: Any) -> str:
    """A payload of a sidecar whose Envoys are as far as it is."""
    reached = None if envoys is None else (Reached(envoys, position),)
    fields = {"answers": True, **more}
    return Sighting(name, position, (), reached, rejected or Rejected(), **fields).to_payload()


def now() -> datetime:
    return datetime.now(UTC)


async def tenant(control: Control, slug: str) -> UUID:
    tenant_id = uuid4()
    await control.execute("INSERT INTO tenants (id, slug) VALUES ($1, $2)", tenant_id, slug)
    return tenant_id


def finding(code: str, who: str = "tenant", message: str = "It does not do.", **detail: Any) -> str:
    return json.dumps({"code": code, "message": message, "who": who, "at": now().isoformat(), "detail": detail})


async def domain(control: Control, tenant_id: UUID, hostname: str, **columns: Any) -> UUID:
    """A live one, active and issued unless other columns are given."""
    domain_id = uuid4()
    values = {
        "id": domain_id,
        "tenant_id": tenant_id,
        "hostname": hostname,
        "verification_token": "t",
        "verify_deadline": now() + timedelta(days=3),
        "status": "active",
        "ssl_status": "issued",
        "cert_expiry": now() + timedelta(days=60),
        "renew_at": now() + timedelta(days=30),
        **columns,
    }
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await control.execute(f"INSERT INTO custom_domains ({names}) VALUES ({places})", *values.values())
    return domain_id


async def audited(control: Control, tenant_id: UUID, hostname: str, actor: str, action: str, **detail: Any) -> None:
    await control.execute(
        "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        uuid4(),
        hostname,
        actor,
        action,
        json.dumps(detail),
    )


async def dead_letter(control: Control, tenant_id: UUID, address: str, domain_id: UUID | None = None) -> UUID:
    """One that was given up a moment ago."""
    endpoint = await control.fetchval(
        "INSERT INTO notification_endpoints (tenant_id, kind, address) VALUES ($1, 'webhook', $2) RETURNING id",
        tenant_id,
        address,
    )
    event = await control.fetchval(
        """INSERT INTO outbox (tenant_id, domain_id, event, payload, dispatched_at)
           VALUES ($1, $2, 'domain.activate', '{"hostname": "shop.mybrand.co"}', now()) RETURNING id""",
        tenant_id,
        domain_id,
    )
    delivery: UUID = await control.fetchval(
        """INSERT INTO deliveries (endpoint_id, tenant_id, outbox_id, lane, state, attempts, settled_at, last_attempt)
           VALUES ($1, $2, $3, $1, 'dead', 9, now(), $4) RETURNING id""",
        endpoint,
        tenant_id,
        event,
        json.dumps({"at": now().isoformat(), "code": "refused", "message": "It answered 500.", "status": 500}),
    )
    return delivery
