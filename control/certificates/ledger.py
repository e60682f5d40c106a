"""What an issuance writes down in PostgreSQL. Each method is one transaction that first checks two things: the domain
is live, and the job's lease stands. So a worker that was paused, or whose domain was deleted, writes nothing.

All methods raise DomainGone, LeaseLost, and asyncpg's errors. The job's row is locked before the domain's, as the
API and the transitions do it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from control.domains import transition
from control.jobs import Job, assert_held
from core.certificate import Certificate
from core.domain import Domain, Finding

Connection: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """`url`: None until the CA's answer is written down. `fresh`: written down just now, so the CA cannot know it."""

    id: UUID
    url: str | None
    fresh: bool


@dataclass(frozen=True, slots=True)
class PublishedChallenge:
    token: str
    key_authorization: str = field(repr=False)
    expires_at: datetime


class Ledger:
    """`actor`: for the audit. `registered_domain`: of a hostname, what the CA counts its weekly limit by."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        actor: str,
        directory_url: str,
        registered_domain: Callable[[str], str],
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._directory_url = directory_url
        self._registered_domain = registered_domain

    async def domain(self, job: Job) -> Domain:
        """The domain, if there is still something to do for it."""
        async with self._held(job) as (_, domain):
            return domain

    async def open_order(self, job: Job) -> OpenOrder:
        """The order under way, or a new one, written down before the CA hears of it."""
        async with self._held(job) as (connection, domain):
            # The operator has changed the CA: the old one's order is of no use.
            await self._close(connection, job, {"type": "directory_changed"}, other_directories=True)
            fresh = await connection.fetchval(
                """INSERT INTO acme_orders (domain_id, directory_url) VALUES ($1, $2)
                   ON CONFLICT (domain_id) WHERE state = 'open' DO NOTHING RETURNING true""",
                job.domain_id,
                self._directory_url,
            )
            if domain.ssl_status in ("none", "error"):
                await transition.apply(connection, job.domain_id, "order_started", self._actor, lease=job.lease_token)
            row = await connection.fetchrow(
                "SELECT id, order_url FROM acme_orders WHERE domain_id = $1 AND state = 'open'", job.domain_id
            )
            assert row is not None  # noqa: S101 -- it was just made, if it was not there
            return OpenOrder(row["id"], row["order_url"], bool(fresh))

    async def unrecorded(self, urls: Sequence[str]) -> Sequence[str]:
        """Those of the CA's orders that are written down nowhere."""
        rows = await self._pool.fetch(
            "SELECT order_url FROM acme_orders WHERE directory_url = $1 AND order_url = ANY($2)",
            self._directory_url,
            list(urls),
        )
        known = {row["order_url"] for row in rows}
        return [url for url in urls if url not in known]

    async def order_sent(self, job: Job, order: OpenOrder, url: str) -> None:
        async with self._held(job) as (connection, domain):
            await connection.execute(
                "UPDATE acme_orders SET order_url = $2, updated_at = now() WHERE id = $1", order.id, url
            )
            await self._spend(connection, domain, "order")

    async def close_order(self, job: Job, problem: Mapping[str, Any]) -> None:
        """The order came to nothing, and not by a failure of the domain."""
        async with self._held(job) as (connection, _):
            await self._close(connection, job, problem)

    async def publish(self, job: Job, challenges: Sequence[PublishedChallenge]) -> int:
        """Let every sidecar answer them. Returns the transaction's id."""
        async with self._held(job) as (connection, _):
            await connection.executemany(
                """INSERT INTO challenges (token, domain_id, key_authorization, expires_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (token) DO UPDATE SET domain_id = excluded.domain_id,
                       key_authorization = excluded.key_authorization, expires_at = excluded.expires_at""",
                [(one.token, job.domain_id, one.key_authorization, one.expires_at) for one in challenges],
            )
            return await _transaction_id(connection)

    async def failed(
        self, job: Job, finding: Finding, problem: Mapping[str, Any], *, validation: bool, most: int
    ) -> Domain:
        """A failure of the domain: counted, explained, and at `most` failures the end of trying."""
        async with self._held(job) as (connection, domain):
            await self._close(connection, job, problem)
            if validation:
                await self._spend(connection, domain, "failed_validation")
            after = await transition.apply(
                connection, job.domain_id, "challenge_failed", self._actor, finding=finding, lease=job.lease_token
            )
            if after.failure_count >= most and after.status == "verified":
                after = await transition.apply(
                    connection, job.domain_id, "retries_exhausted", self._actor, lease=job.lease_token
                )
            return after

    async def postponed(self, job: Job, finding: Finding) -> None:
        """Why nothing happens for now. It is nobody's failure, so it is neither counted nor audited."""
        async with self._held(job) as (connection, _):
            await connection.execute(
                "UPDATE custom_domains SET ssl_finding = $2 WHERE id = $1", job.domain_id, finding.to_json()
            )

    async def issued(self, job: Job, certificate: Certificate, vault_version: int) -> int:
        """The certificate is in Vault: sidecars may fetch it once they see this. Returns the transaction's id."""
        async with self._held(job) as (connection, domain):
            await connection.execute(
                """WITH stored AS (
                       INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                           vault_version, directory_url)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                       ON CONFLICT (domain_id, fingerprint) DO UPDATE SET vault_version = excluded.vault_version
                       RETURNING id, not_after)
                   UPDATE custom_domains SET certificate_id = stored.id, cert_expiry = stored.not_after
                   FROM stored WHERE custom_domains.id = $1""",
                job.domain_id,
                certificate.serial,
                certificate.issuer,
                certificate.fingerprint,
                certificate.not_before,
                certificate.not_after,
                vault_version,
                self._directory_url,
            )
            await transition.apply(
                connection,
                job.domain_id,
                "certificate_stored",
                self._actor,
                detail={"serial": certificate.serial, "issuer": certificate.issuer, "not_after": certificate.not_after},
                lease=job.lease_token,
            )
            await connection.execute(
                "UPDATE acme_orders SET state = 'issued', updated_at = now() WHERE domain_id = $1 AND state = 'open'",
                job.domain_id,
            )
            await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)
            await self._spend(connection, domain, "certificate")
            return await _transaction_id(connection)

    async def transaction_id(self) -> int:
        """Of a transaction that sees all that is committed: whoever has seen it has seen that."""
        async with self._pool.acquire() as connection:
            return await _transaction_id(connection)

    async def loaded(self, job: Job) -> None:
        """The sidecars can serve the certificate: the domain goes live, if it is not."""
        async with self._held(job) as (connection, domain):
            if domain.ssl_finding is not None:  # trouble after the certificate was recorded, and it is over
                await connection.execute("UPDATE custom_domains SET ssl_finding = NULL WHERE id = $1", domain.id)
            if domain.status == "verified":
                await transition.apply(
                    connection, job.domain_id, "certificate_loaded", self._actor, lease=job.lease_token
                )

    async def leave_to_revoke(self, domain_id: UUID) -> None:
        """If the domain was deleted and its revocation is over already, let it look again: something came after it."""
        await self._pool.execute(
            """INSERT INTO jobs (domain_id, kind)
               SELECT id, 'revoke' FROM custom_domains WHERE id = $1 AND deleted_at IS NOT NULL
               ON CONFLICT (domain_id) DO NOTHING""",
            domain_id,
        )

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[tuple[Connection, Domain]]:
        async with self._pool.acquire() as connection, connection.transaction():
            await assert_held(connection, job.domain_id, job.lease_token)
            domain = await transition.load_live(connection, job.domain_id)
            yield connection, domain

    async def _close(
        self, connection: Connection, job: Job, problem: Mapping[str, Any], *, other_directories: bool = False
    ) -> None:
        closed = await connection.fetchval(
            """UPDATE acme_orders SET state = 'failed', problem = $2, updated_at = now()
               WHERE domain_id = $1 AND state = 'open' AND (directory_url <> $3 OR NOT $4) RETURNING true""",
            job.domain_id,
            json.dumps(dict(problem)),
            self._directory_url,
            other_directories,
        )
        if closed:
            await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)

    async def _spend(self, connection: Connection, domain: Domain, bucket: str) -> None:
        await connection.execute(
            "INSERT INTO rate_ledger (directory_url, bucket, registered_domain, hostname) VALUES ($1, $2, $3, $4)",
            self._directory_url,
            bucket,
            self._registered_domain(domain.hostname),
            domain.hostname,
        )


async def _transaction_id(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
