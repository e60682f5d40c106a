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
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import asyncpg
from cryptography import x509

from control.domains import transition
from control.jobs import Job, assert_held
from core.certificate import Certificate, ari_id
from core.domain import Domain, Finding

Connection: TypeAlias = "asyncpg.Connection[Any]"

# A challenge is answered for as long as its authorization can be used, within these: by PostgreSQL's clock, which
# hides those that are over.
CHALLENGE_LASTS = timedelta(minutes=10), timedelta(days=7)


class Limits(Protocol):
    """What may be spent at a CA; each method within a transaction of the caller."""

    async def take(
        self, connection: Connection, directory_url: str, hostnames: Sequence[str], *, renewal_exempt: bool = False
    ) -> None:
        """Spend an order. Raises control.limits.limits.LimitReached, and has spent nothing then."""

    async def failed_validation(self, connection: Connection, directory_url: str, hostname: str) -> None: ...

    async def not_issued(
        self, connection: Connection, directory_url: str, hostname: str, *, renewal_exempt: bool = False
    ) -> None: ...

    async def succeeded(self, connection: Connection, directory_url: str, hostname: str) -> None: ...

    async def refused_by_ca(
        self, connection: Connection, directory_url: str, hostname: str, problem_detail: str, until: datetime | None
    ) -> datetime:
        """The CA says that a limit is reached, whatever we have counted. Returns until when."""
        ...


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """`url`: None until the CA's answer is written down. `fresh`: written down just now, so the CA cannot know it.

    `exempt`: as it was spent.
    """

    id: UUID
    directory_url: str
    url: str | None
    created_at: datetime
    fresh: bool = False
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """The certificate that a renewal replaces. `ari_id`: as RFC 9773 section 4.1 names it at the CA."""

    directory_url: str
    ari_id: str | None
    ari_window: tuple[datetime, datetime] | None
    not_after: datetime


@dataclass(frozen=True, slots=True)
class PublishedChallenge:
    """`expires_at`: of its authorization, if the CA says it."""

    token: str
    key_authorization: str = field(repr=False)
    expires_at: datetime | None


Schedule: TypeAlias = "Callable[[Certificate, UUID], datetime]"

# What the platform must act on stops many domains at once: its admin is told once a day for each code.
TELL_ADMIN_EVERY = timedelta(days=1)
TELL_ADMIN = """INSERT INTO outbox (event, payload) SELECT 'platform.trouble', $1::jsonb WHERE NOT EXISTS (
    SELECT FROM outbox WHERE created_at > now() - $3::interval AND event = 'platform.trouble'
        AND payload->>'code' = $2)"""


class Ledger:
    """`actor`: for the audit. `limits`: of the CAs. `renewal`: when a certificate of a domain is to be renewed."""

    def __init__(self, pool: asyncpg.Pool[Any], actor: str, limits: Limits, renewal: Schedule) -> None:
        self._pool = pool
        self._actor = actor
        self._limits = limits
        self._renewal = renewal
        self._told: dict[str, datetime] = {}  # by code, so that a trouble of all domains asks PostgreSQL once

    async def domain(self, job: Job) -> Domain:
        """The domain, if there is still something to do for it."""
        async with self._held(job) as (_, domain):
            return domain

    async def order_under_way(self, job: Job) -> OpenOrder | None:
        async with self._held(job) as (connection, _):
            row = await connection.fetchrow(
                """SELECT id, directory_url, order_url, created_at, exempt FROM acme_orders
                   WHERE domain_id = $1 AND state = 'open'""",
                job.domain_id,
            )
        if row is None:
            return None
        return OpenOrder(row["id"], row["directory_url"], row["order_url"], row["created_at"], exempt=row["exempt"])

    async def served(self, job: Job) -> Served | None:
        """The certificate that is served now; None: the first one is still to come."""
        async with self._held(job) as (connection, _):
            row = await connection.fetchrow(
                """SELECT c.directory_url, c.ari_id, lower(c.ari_window), upper(c.ari_window), c.not_after
                   FROM certificates c JOIN custom_domains d ON d.certificate_id = c.id WHERE d.id = $1""",
                job.domain_id,
            )
        if row is None:
            return None
        directory_url, ari_id, start, end, not_after = row
        return Served(directory_url, ari_id, (start, end) if start and end else None, not_after)

    async def open_order(self, job: Job, directory_url: str, *, renewal_exempt: bool = False) -> OpenOrder:
        """A new order, written down before the CA hears of it, and spent in the same transaction.

        Raises control.limits.limits.LimitReached.
        """
        async with self._held(job) as (connection, domain):
            row = await connection.fetchrow(
                """INSERT INTO acme_orders (domain_id, directory_url, exempt) VALUES ($1, $2, $3)
                   RETURNING id, directory_url, order_url, created_at""",
                job.domain_id,
                directory_url,
                renewal_exempt,
            )
            await self._limits.take(connection, directory_url, [domain.hostname], renewal_exempt=renewal_exempt)
            if domain.ssl_status in ("none", "error"):
                event = "order_started" if domain.certificate is None else "renewal_started"
                await transition.apply(connection, job.domain_id, event, self._actor, lease=job.lease_token)
            return OpenOrder(
                row["id"],
                row["directory_url"],
                row["order_url"],
                row["created_at"],
                fresh=True,
                exempt=renewal_exempt,
            )

    async def spend(self, job: Job, directory_url: str) -> None:
        """For an order that was exempt from the limits, and that the CA takes for no renewal. Raises LimitReached."""
        async with self._held(job) as (connection, domain):
            # What it took although it was exempt; `take` counts it with the rest. Only this job locks that bucket.
            await self._limits.not_issued(connection, directory_url, domain.hostname, renewal_exempt=True)
            await self._limits.take(connection, directory_url, [domain.hostname])
            await connection.execute(
                "UPDATE acme_orders SET exempt = FALSE WHERE domain_id = $1 AND state = 'open'", job.domain_id
            )

    async def unrecorded(self, directory_url: str, urls: Sequence[str]) -> Sequence[str]:
        """Those of the CA's orders that are written down nowhere."""
        rows = await self._pool.fetch(
            "SELECT order_url FROM acme_orders WHERE directory_url = $1 AND order_url = ANY($2)",
            directory_url,
            list(urls),
        )
        known = {row["order_url"] for row in rows}
        return [url for url in urls if url not in known]

    async def order_sent(self, job: Job, order: OpenOrder, url: str) -> None:
        async with self._held(job) as (connection, _):
            await connection.execute(
                "UPDATE acme_orders SET order_url = $2, updated_at = now() WHERE id = $1", order.id, url
            )

    async def close_order(self, job: Job, problem: Mapping[str, Any], *, give_back: bool = False) -> None:
        """The order came to nothing, and not by a failure of the domain.

        `give_back`: it is certain that the CA issues nothing for it.
        """
        async with self._held(job) as (connection, domain):
            await self._close(connection, job, domain, problem, give_back=give_back)

    async def close_old_order(self, job: Job, problem: Mapping[str, Any], age: timedelta) -> bool:
        """The same, if it is older than that by PostgreSQL's clock."""
        async with self._held(job) as (connection, domain):
            old = await connection.fetchval(
                """SELECT true FROM acme_orders
                   WHERE domain_id = $1 AND state = 'open' AND created_at < now() - $2::interval""",
                job.domain_id,
                age,
            )
            if old:
                await self._close(connection, job, domain, problem, give_back=False)
            return bool(old)

    async def refused_lately(self, job: Job) -> frozenset[str]:
        """The directories whose newest order for the domain, within a day, an operator would have to mend."""
        rows = await self._pool.fetch(
            """SELECT directory_url FROM (
                   SELECT DISTINCT ON (directory_url) directory_url, problem FROM acme_orders
                   WHERE domain_id = $1 AND created_at > now() - interval '1 day'
                   ORDER BY directory_url, created_at DESC) newest
               WHERE problem->>'who' = 'operator'""",
            job.domain_id,
        )
        return frozenset(row["directory_url"] for row in rows)

    async def resumed(self, job: Job) -> Domain:
        """What paused the domain is over, as far as can be seen from here."""
        async with self._held(job) as (connection, _):
            return await transition.apply(connection, job.domain_id, "resumed", self._actor, lease=job.lease_token)

    async def publish(self, job: Job, challenges: Sequence[PublishedChallenge]) -> int:
        """Let every sidecar answer them. Returns the transaction's id."""
        async with self._held(job) as (connection, _):
            await connection.executemany(
                """INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
                   VALUES ($1, $2, $3, least(greatest($4::timestamptz, now() + $5), now() + $6))
                   ON CONFLICT (token) DO UPDATE SET domain_id = excluded.domain_id,
                       key_authorization = excluded.key_authorization, expires_at = excluded.expires_at""",
                [
                    (one.token, job.domain_id, one.key_authorization, one.expires_at, *CHALLENGE_LASTS)
                    for one in challenges
                ],
            )
            return await _transaction_id(connection)

    async def failed(
        self,
        job: Job,
        event: str,
        finding: Finding,
        problem: Mapping[str, Any],
        *,
        directory_url: str | None,
        most: int,
    ) -> Domain:
        """A failure of the domain: counted, explained, and at `most` failures the end of trying.

        `event`: challenge_failed or preflight_failed. `directory_url`: the CA that counts a failed authorization.
        """
        async with self._held(job) as (connection, domain):
            await self._close(connection, job, domain, problem, give_back=True)
            if directory_url is not None:
                await self._limits.failed_validation(connection, directory_url, domain.hostname)
            after = await transition.apply(
                connection, job.domain_id, event, self._actor, finding=finding, lease=job.lease_token
            )
            if after.failure_count >= most:
                events = ["failures_exceeded", *(["retries_exhausted"] if after.status == "verified" else [])]
                for one in events:
                    after = await transition.apply(
                        connection,
                        job.domain_id,
                        one,
                        self._actor,
                        detail={"finding": finding.code},
                        lease=job.lease_token,
                    )
            return after

    async def postponed(self, job: Job, finding: Finding) -> None:
        """Why nothing happens for now. It is nobody's failure, so it is neither counted nor audited.

        Of what the operator must mend the platform's admin is told.
        """
        told = self._told.get(finding.code)
        tell = finding.who == "operator" and (told is None or abs(finding.at - told) >= TELL_ADMIN_EVERY)
        async with self._held(job) as (connection, domain):
            await connection.execute(
                "UPDATE custom_domains SET ssl_finding = $2 WHERE id = $1", job.domain_id, finding.to_json()
            )
            if tell:
                facts = {"code": finding.code, "message": finding.message, "hostname": domain.hostname}
                await connection.execute(TELL_ADMIN, json.dumps(facts), finding.code, TELL_ADMIN_EVERY)
        if tell:
            self._told[finding.code] = finding.at

    async def refused_by_ca(
        self, job: Job, directory_url: str, problem: Mapping[str, Any], until: datetime | None
    ) -> datetime:
        """Nothing that falls under the CA's limit is sent before the time returned. `until`: by its Retry-After."""
        async with self._held(job) as (connection, domain):
            detail = str(problem.get("detail", ""))
            return await self._limits.refused_by_ca(connection, directory_url, domain.hostname, detail, until)

    async def next_attempt(self, job: Job, at: datetime, code: str, message: str) -> None:
        """When the tenant can expect the next attempt, and why not before."""
        async with self._held(job) as (connection, _):
            await connection.execute(
                "UPDATE custom_domains SET next_attempt = $2 WHERE id = $1",
                job.domain_id,
                json.dumps({"at": at.isoformat(), "code": code, "message": message}),
            )

    async def issued(self, job: Job, certificate: Certificate, vault_version: int, directory_url: str) -> int:
        """The certificate is in Vault: sidecars may fetch it once they see this. Returns the transaction's id."""
        async with self._held(job) as (connection, domain):
            await connection.execute(
                """WITH stored AS (
                       INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                           vault_version, directory_url, ari_id)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                       ON CONFLICT (domain_id, fingerprint) DO UPDATE SET vault_version = excluded.vault_version
                       RETURNING id, not_after)
                   UPDATE custom_domains SET certificate_id = stored.id, cert_expiry = stored.not_after, renew_at = $10,
                       renewal_info_at = now(), look_at = coalesce(look_at, now()), next_attempt = NULL
                   FROM stored WHERE custom_domains.id = $1""",
                job.domain_id,
                certificate.serial,
                certificate.issuer,
                certificate.fingerprint,
                certificate.not_before,
                certificate.not_after,
                vault_version,
                directory_url,
                ari_id(x509.load_pem_x509_certificates(certificate.chain_pem.encode())[0]),
                self._renewal(certificate, job.domain_id),
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
            await self._limits.succeeded(connection, directory_url, domain.hostname)
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
        self, connection: Connection, job: Job, domain: Domain, problem: Mapping[str, Any], *, give_back: bool
    ) -> None:
        """The order that was open, if there was one."""
        closed = await connection.fetchrow(
            """UPDATE acme_orders SET state = 'failed', problem = $2, updated_at = now()
               WHERE domain_id = $1 AND state = 'open' RETURNING directory_url, exempt""",
            job.domain_id,
            json.dumps(dict(problem)),
        )
        if closed is None:
            return
        await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)
        if give_back:
            await self._limits.not_issued(
                connection, closed["directory_url"], domain.hostname, renewal_exempt=closed["exempt"]
            )


async def _transaction_id(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
