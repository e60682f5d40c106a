"""What is left to do for a deleted domain: its certificates revoked at the CA, its keys destroyed in Vault.

Envoy has refused the name since the deletion was committed; this is about keys that could still be used elsewhere.
A certificate that the tenant had uploaded is its own to revoke; here its key is destroyed.
Each step can be repeated. A certificate is destroyed in Vault only after the CA has revoked it (or will never do so),
because the request needs the certificate itself, which is kept nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from control.acme.problems import AcmeError, AcmeRefused
from control.certificates import backoff
from control.certificates.authorities import Authorities
from control.domains import transition
from control.jobs import Again, Done, Job, Outcome, assert_held
from control.uploads import steps
from control.vault import Vault, VaultError
from core.certificate import common_name
from core.domain import Domain
from core.vault import certificate_path, pending_key_path, upload_path

CESSATION_OF_OPERATION = 5  # RFC 5280 section 5.3.1
# Of a CA that does not know the order, the certificate or the account: it will not do so later either.
NEVER = frozenset({"", "malformed", "unauthorized", "accountDoesNotExist"})

# As `on_step` is told; `revoked` after each certificate.
STEPS = ("revoked", "certificate_destroyed", "pending_key_destroyed", "upload_destroyed", "closed")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf, and its version in Vault; 0: it never came there, and `directory_url` says whose it is."""

    leaf: x509.Certificate
    version: int
    directory_url: str | None = None


class Revoker:
    """`actor`: for the audit."""

    def __init__(
        self,
        authorities: Authorities,
        vault: Vault,
        pool: asyncpg.Pool[Any],
        actor: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._authorities = authorities
        self._vault = vault
        self._pool = pool
        self._actor = actor
        self._now = now
        self._on_step = on_step

    async def revoke(self, job: Job) -> Outcome:
        """Raises LeaseLost and asyncpg's errors; everything else becomes an outcome."""
        async with self._pool.acquire() as connection:
            domain = await transition.load(connection, job.domain_id)
        if domain is None or domain.deleted_at is None:
            return Done()
        postponed: AcmeError | None = None
        try:
            async for issued in self._unexpired(domain):
                try:
                    await self._revoke_one(job, domain, issued)
                except AcmeError as error:  # the others may be of a CA that answers
                    postponed = error
                    continue
                self._on_step("revoked")
            if postponed is not None:
                raise postponed
            await self._vault.destroy(certificate_path(domain.id))
            self._on_step("certificate_destroyed")
            await self._vault.destroy(pending_key_path(domain.id))
            self._on_step("pending_key_destroyed")
            await self._vault.destroy(upload_path(domain.id))
            self._on_step("upload_destroyed")
        except AcmeError as error:
            log.warning("revocation_postponed", code=error.code, reason=str(error))
            delay = backoff.delay(backoff.CA_TROUBLE, job.attempts)
            return Again(max(error.retry_after or timedelta(0), delay))
        except VaultError as error:
            log.warning("revocation_postponed", code=error.code, reason=str(error))
            return Again(backoff.delay(backoff.VAULT_TROUBLE, job.attempts))
        await self._close(job)
        self._on_step("closed")
        return Done()

    async def _unexpired(self, domain: Domain) -> AsyncIterator[Issued]:
        """Every certificate that Vault still has a version of, and one that the CA issued but that came to no end."""
        path = certificate_path(domain.id)
        for version in await self._vault.versions(path):
            stored = await self._vault.read(path, version)
            if stored is not None and (leaf := self._usable(str(stored.data.get("chain", "")))):
                yield Issued(leaf, version)
        for directory_url, url in await self._open_orders(domain):
            authority = self._authorities.by_directory(directory_url)
            if authority is None:
                continue
            client = await authority.client()
            try:
                order = await client.order(url)
                chain = await client.chain(order) if order.status == "valid" else ""
            except AcmeRefused as refused:
                if refused.problem.name not in NEVER:
                    raise
                continue
            if leaf := self._usable(chain):
                yield Issued(leaf, 0, directory_url)

    def _usable(self, chain: str) -> x509.Certificate | None:
        """The leaf, unless there is none or its time is over."""
        try:
            leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        except ValueError:
            return None
        return leaf if leaf.not_valid_after_utc > self._now() else None

    async def _open_orders(self, domain: Domain) -> Sequence[tuple[str, str]]:
        rows = await self._pool.fetch(
            """SELECT directory_url, order_url FROM acme_orders
               WHERE domain_id = $1 AND state = 'open' AND order_url IS NOT NULL""",
            domain.id,
        )
        return [(row["directory_url"], row["order_url"]) for row in rows]

    async def _revoke_one(self, job: Job, domain: Domain, issued: Issued) -> None:
        fingerprint = issued.leaf.fingerprint(hashes.SHA256()).hex()
        row = await self._pool.fetchrow(
            "SELECT revoked_at, directory_url FROM certificates WHERE domain_id = $1 AND fingerprint = $2",
            domain.id,
            fingerprint,
        )
        if row is not None and row["revoked_at"] is not None:
            return
        directory_url = row["directory_url"] if row is not None else issued.directory_url
        if directory_url is None:  # killed between Vault and PostgreSQL: the domain's last order was its
            directory_url = await self._last_directory(domain)
        authority = None if directory_url is None else self._authorities.by_directory(directory_url)
        if authority is None or directory_url is None:
            # Issued by a CA that is no longer configured: its key is destroyed, which is what can be done from here.
            log.warning("certificate_of_another_ca", hostname=domain.hostname, fingerprint=fingerprint)
            return
        try:
            client = await authority.client()
            await client.revoke(issued.leaf, CESSATION_OF_OPERATION)
        except AcmeRefused as refused:
            if refused.problem.name in NEVER:
                log.warning("revocation_refused", hostname=domain.hostname, detail=refused.problem.to_json())
                return
            if refused.problem.name != "alreadyRevoked":
                raise
        await self._record(job, domain, issued, fingerprint, directory_url)
        log.info("certificate_revoked", hostname=domain.hostname, fingerprint=fingerprint)

    async def _last_directory(self, domain: Domain) -> str | None:
        value: str | None = await self._pool.fetchval(
            "SELECT directory_url FROM acme_orders WHERE domain_id = $1 ORDER BY created_at DESC LIMIT 1", domain.id
        )
        return value

    async def _record(self, job: Job, domain: Domain, issued: Issued, fingerprint: str, directory_url: str) -> None:
        leaf = issued.leaf
        async with self._pool.acquire() as connection, connection.transaction():
            await assert_held(connection, job.domain_id, job.lease_token)
            marked = await connection.fetchval(
                """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                       vault_version, directory_url, revoked_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
                   ON CONFLICT (domain_id, fingerprint) DO UPDATE SET revoked_at = now()
                   WHERE certificates.revoked_at IS NULL RETURNING true""",
                domain.id,
                f"{leaf.serial_number:x}",
                common_name(leaf.issuer),
                fingerprint,
                leaf.not_valid_before_utc,
                leaf.not_valid_after_utc,
                issued.version,
                directory_url,
            )
            if marked:
                facts = {"serial": f"{leaf.serial_number:x}", "reason": CESSATION_OF_OPERATION}
                await transition.record(connection, domain, "ssl_revoke", self._actor, facts)

    async def _close(self, job: Job) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await assert_held(connection, job.domain_id, job.lease_token)
            await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)
            await connection.execute(steps.END, job.domain_id, "deleted")
            await connection.execute(steps.CLEAR, job.domain_id)  # an upload may have been on its way to Vault
            await connection.execute(
                """UPDATE acme_orders SET state = 'failed', problem = '{"type": "domain_deleted"}', updated_at = now()
                   WHERE domain_id = $1 AND state = 'open'""",
                job.domain_id,
            )
