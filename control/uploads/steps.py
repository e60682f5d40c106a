"""What changes when an uploaded certificate comes, or comes to its end: the rows of one transaction.

Whoever comes here has locked the domain. `uploads` keeps a row of each; custom_domains.upload_id names the one that
stands, and a trigger tells the sidecars when that is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from uuid import UUID

import asyncpg

from control.domains import states
from control.domains.transition import record
from core.certificate import Certificate
from core.domain import Domain

Connection: TypeAlias = "asyncpg.Connection[Any]"
Reason = Literal["replaced", "withdrawn", "expired", "deleted"]

# A sidecar reads of a change in far less; one that was withdrawn stays readable for whoever has not.
READABLE = "5 minutes"

STANDING = "SELECT fingerprint, vault_version FROM uploads WHERE domain_id = $1 AND ended_at IS NULL"
END = """UPDATE uploads SET ended_at = now(), ended_by = $2, due_at = NULL, names = '{}'
    WHERE domain_id = $1 AND ended_at IS NULL"""
ADD = """INSERT INTO uploads
        (domain_id, serial, issuer, fingerprint, not_before, not_after, names, vault_version, due_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"""
SERVE = "UPDATE custom_domains SET upload_id = $2, updated_at = now() WHERE id = $1"
CLEAR = f"UPDATE upload_keys SET clear_at = now() + interval '{READABLE}' WHERE domain_id = $1"  # noqa: S608 -- constants
KEEP = "UPDATE upload_keys SET clear_at = NULL WHERE domain_id = $1"


async def take(
    connection: Connection, domain: Domain, certificate: Certificate, vault_version: int, due_at: datetime, actor: str
) -> UUID:
    """The certificate is in Vault, and stands from now on. `due_at`: see control.uploads.schedule."""
    await connection.execute(END, domain.id, "replaced")
    upload_id: UUID = await connection.fetchval(
        ADD,
        domain.id,
        certificate.serial,
        certificate.issuer,
        certificate.fingerprint,
        certificate.not_before,
        certificate.not_after,
        list(certificate.names),
        vault_version,
        due_at,
    )
    await connection.execute(SERVE, domain.id, upload_id)
    await connection.execute(KEEP, domain.id)
    facts = {"serial": certificate.serial, "issuer": certificate.issuer, "not_after": certificate.not_after}
    await tell(connection, domain, "uploaded", actor, facts)
    return upload_id


async def end(
    connection: Connection,
    domain: Domain,
    event: str,
    reason: Reason,
    actor: str,
    told: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """What stands is served no more; the managed certificate is, if there is one. Its key is destroyed soon."""
    await connection.execute(END, domain.id, reason)
    await connection.execute(SERVE, domain.id, None)
    await connection.execute(CLEAR, domain.id)
    await tell(connection, domain, event, actor, facts_of(domain), told)


def facts_of(domain: Domain) -> Mapping[str, Any]:
    assert domain.uploaded is not None  # noqa: S101 -- its callers have looked
    return {"serial": domain.uploaded.serial, "not_after": domain.uploaded.not_after}


async def tell(
    connection: Connection,
    domain: Domain,
    event: str,
    actor: str,
    facts: Mapping[str, Any],
    told: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """The audit row and the notification. `domain`: as it was before. Raises IllegalTransition."""
    step = states.step("upload", "none" if domain.uploaded is None else "standing", event)
    await record(connection, domain, step.action, actor, {"event": event, **facts}, told)
