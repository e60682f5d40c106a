"""A certificate for a verified domain, in steps that can each be repeated.

A process may be killed between any two steps, or inside one. The next run begins again at the top, and each step
first looks at what PostgreSQL, Vault and the CA have already:

| step                  | done already when                        | otherwise                                      |
| --------------------- | ---------------------------------------- | ---------------------------------------------- |
| account               | Vault has its key, the CA its public key | make the key, check-and-set; newAccount        |
| key                   | Vault has a pending key                  | make one, check-and-set; no Vault, no order    |
| order_written_down    | an open row in acme_orders               | insert it; ssl_status becomes validating       |
| order_sent            | the CA has the row's order, or one that  | newOrder                                       |
|                       | is written down nowhere                  |                                                |
| order_known           | the row has the order's URL              | write it there                                 |
| challenges_published  | the order is past pending                | insert the key authorizations                  |
| challenges_answered   | the challenges are past pending          | let the CA validate                            |
| authorizations_valid  | they are                                 | ask until they are                             |
| finalized             | the order is past ready                  | send a request signed by the pending key       |
| downloaded            |                                          | ask until the order is valid; fetch its chain  |
| checked               |                                          | order of the chain, key, name, dates           |
| stored                | Vault has this very certificate          | write it, check-and-set                        |
| recorded              | ssl_status is issued                     | certificates row, transition, order issued     |
| pending_key_destroyed | it is                                    | destroy it                                     |
| seen                  | the sidecars have read the change        | wait for them                                  |
| active                | status is active                         | transition                                     |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from control.acme.account import Account
from control.acme.client import Client
from control.acme.order import Authorization, Challenge, Order
from control.acme.problems import AcmeError, AcmeRefused, Meaning, explain
from control.certificates import backoff
from control.certificates.exchange import Exchange, OrderFailed
from control.certificates.key import PendingKey
from control.certificates.ledger import Ledger, OpenOrder, PublishedChallenge
from control.certificates.patience import OutOfPatience
from control.certificates.propagation import Propagation
from control.domains.transition import DomainGone
from control.jobs import Again, Done, Job, LeaseLost, Outcome
from control.vault import Vault, VaultError
from core.certificate import Certificate, CertificateError
from core.domain import Domain, Finding
from core.vault import certificate_path, pending_key_path

STEPS = (
    "account",
    "key",
    "order_written_down",
    "order_sent",
    "order_known",
    "challenges_published",
    "challenges_answered",
    "authorizations_valid",
    "finalized",
    "downloaded",
    "checked",
    "stored",
    "recorded",
    "pending_key_destroyed",
    "seen",
    "active",
)

# Sidecars that do not know a token read it from PostgreSQL; this wait only saves them the question.
CHALLENGE_SEEN = timedelta(seconds=1)
# A challenge is answered for as long as its authorization can be used, within these.
SHORTEST_CHALLENGE, LONGEST_CHALLENGE = timedelta(minutes=10), timedelta(days=7)
# Orders that are written down nowhere are those of workers killed in one moment; beyond these they are not ours.
MOST_UNRECORDED = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """`failures`: of a domain, before it is paused (DOMAINS_MAX_SSL_RETRIES).

    `ca`: how long one run waits for the CA to validate, and again to issue; then it makes room for other domains.
    `certificate_seen`: how long for the sidecars; one that is not there by then is in trouble of its own.
    """

    failures: int = 10
    ca: timedelta = timedelta(seconds=30)
    certificate_seen: timedelta = timedelta(seconds=15)


class Obtainer:
    """`on_step`: called with the name of each step after it, for tests that end the process there."""

    def __init__(
        self,
        account: Account,
        vault: Vault,
        ledger: Ledger,
        propagation: Propagation | None = None,
        limits: Limits = Limits(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._account = account
        self._vault = vault
        self._ledger = ledger
        self._propagation = propagation
        self._limits = limits
        self._now = now
        self._on_step = on_step

    async def obtain(self, job: Job) -> Outcome:
        """Raises LeaseLost and asyncpg's errors; everything else becomes an outcome."""
        try:
            try:
                return await self._run(job)
            except OrderFailed as failed:
                return await self._failed(job, failed)
            except AcmeRefused as refused:
                meaning = explain(refused.problem)
                if meaning.counts:
                    return await self._failed(job, OrderFailed(refused.problem, meaning))
                return await self._postponed(job, meaning, refused.problem.to_json(), refused.retry_after)
            except AcmeError as error:
                return await self._postponed(job, Meaning(error.code, str(error), "ca", False), {}, error.retry_after)
            except CertificateError as error:
                if error.code != "certificate_not_yet_valid":  # by a clock that is slow
                    await self._ledger.close_order(job, {"type": error.code})
                return await self._postponed(job, Meaning(error.code, str(error), "ca", False), {}, None)
            except OutOfPatience as late:
                log.info("ca_slow")
                return Again(max(late.retry_after, backoff.delay(backoff.CA_TROUBLE, job.attempts)))
            except VaultError as error:
                log.warning("vault_trouble", code=error.code, reason=str(error))
                message = "The platform's secret store does not do what it should; it will be tried again."
                await self._ledger.postponed(job, Finding(error.code, message, "operator", self._now(), {}))
                return Again(backoff.delay(backoff.VAULT_TROUBLE, job.attempts))
        except DomainGone:
            log.info("domain_gone")
            return Done()

    async def _run(self, job: Job) -> Outcome:
        domain = await self._ledger.domain(job)
        if domain.status not in ("verified", "active"):
            return Done()  # failed, or to be verified again
        xid = None
        if domain.ssl_status not in ("issued", "renewed"):
            xid = await self._issue(job, domain)
        await self._vault.destroy(pending_key_path(domain.id))
        self._on_step("pending_key_destroyed")
        await self._seen(xid, self._limits.certificate_seen)
        self._on_step("seen")
        await self._ledger.loaded(job)
        self._on_step("active")
        return Done()

    async def _issue(self, job: Job, domain: Domain) -> int:
        """Returns the id of the transaction that made the certificate known."""
        client = await self._account.client()
        self._on_step("account")
        key = await PendingKey.of_domain(self._vault, domain.id)
        self._on_step("key")
        try:
            chain = await self._chain(job, domain, client, key)
        except AcmeRefused as refused:
            if refused.problem.name == "accountDoesNotExist":
                self._account.forget(client)
            raise
        certificate = Certificate.parse(chain, key.pem)
        certificate.check(domain.hostname, self._now())
        self._on_step("checked")
        version = await self._stored(job, certificate)
        self._on_step("stored")
        xid = await self._ledger.issued(job, certificate, version)
        log.info("certificate_issued", hostname=domain.hostname, serial=certificate.serial)
        self._on_step("recorded")
        return xid

    async def _chain(self, job: Job, domain: Domain, client: Client, key: PendingKey) -> str:
        exchange = Exchange(client, domain.hostname, key, self._limits.ca)
        order = await self._ordered(job, domain, client, exchange)
        waiting = await exchange.waiting(order)
        await self._published(job, client, waiting)
        self._on_step("challenges_published")
        for _, challenge in waiting:
            await exchange.answer(challenge)
        self._on_step("challenges_answered")
        await exchange.validated(order)
        self._on_step("authorizations_valid")
        order = await exchange.prepared(order)
        await self._ledger.domain(job)
        order = await exchange.finalize(order)
        self._on_step("finalized")
        chain = await exchange.download(order)
        self._on_step("downloaded")
        return chain

    async def _ordered(self, job: Job, domain: Domain, client: Client, exchange: Exchange) -> Order:
        """The order under way, found again or new."""
        row = await self._ledger.open_order(job)
        self._on_step("order_written_down")
        order = await self._found_again(client, exchange, row)
        if order is None and row.url is not None:
            await self._ledger.close_order(job, {"type": "order_lost"})
            row = await self._ledger.open_order(job)
        if order is None:
            order = await client.new_order(domain.hostname)
        self._on_step("order_sent")
        if row.url is None:
            await self._ledger.order_sent(job, row, order.url)
        self._on_step("order_known")
        return order

    async def _found_again(self, client: Client, exchange: Exchange, row: OpenOrder) -> Order | None:
        if row.url is not None:
            return await exchange.recall(row.url)
        if row.fresh:
            return None
        # Written down by a run that may have been killed between the CA's answer and the row's update.
        looked_at = 0
        async for urls in client.order_urls():
            for url in await self._ledger.unrecorded(urls):
                looked_at += 1
                if looked_at > MOST_UNRECORDED:
                    return None
                if order := await exchange.matches(url):
                    return order
        return None

    async def _published(self, job: Job, client: Client, waiting: Sequence[tuple[Authorization, Challenge]]) -> None:
        if not waiting:
            return
        now = self._now()
        challenges = [
            PublishedChallenge(
                challenge.token,
                client.key_authorization(challenge.token),
                min(max(authorization.expires or now, now + SHORTEST_CHALLENGE), now + LONGEST_CHALLENGE),
            )
            for authorization, challenge in waiting
        ]
        await self._seen(await self._ledger.publish(job, challenges), CHALLENGE_SEEN)

    async def _stored(self, job: Job, certificate: Certificate) -> int:
        """The certificate's version in Vault."""
        path = certificate_path(job.domain_id)
        await self._ledger.domain(job)
        stored, cas = await self._vault.read_with_cas(path)
        if stored is not None and stored.data.get("fingerprint") == certificate.fingerprint:
            return stored.version
        # A worker that lost its lease is cancelled, but what its thread has sent arrives all the same.
        return await asyncio.shield(self._written(job, certificate, cas))

    async def _written(self, job: Job, certificate: Certificate, cas: int) -> int:
        version = await self._vault.write(certificate_path(job.domain_id), certificate.to_vault(), cas=cas)
        try:
            await self._ledger.domain(job)
        except (DomainGone, LeaseLost):
            await self._ledger.leave_to_revoke(job.domain_id)
            raise
        return version

    async def _seen(self, xid: int | None, bound: timedelta) -> None:
        if self._propagation is None:
            return
        if xid is None:  # an earlier run recorded it: whoever has seen a later transaction has seen that one
            xid = await self._ledger.transaction_id()
        seen = await self._propagation.wait(xid, bound)
        if seen.seen < seen.known:
            log.warning("sidecars_behind", seen=seen.seen, known=seen.known)

    async def _failed(self, job: Job, failed: OrderFailed) -> Outcome:
        meaning, detail = failed.meaning, failed.problem.to_json()
        if not meaning.counts:
            await self._ledger.close_order(job, detail)
            return await self._postponed(job, meaning, detail, None)
        finding = Finding(meaning.code, meaning.message, meaning.who, self._now(), detail)
        domain = await self._ledger.failed(
            job, finding, detail, validation=failed.validation, most=self._limits.failures
        )
        log.info("order_failed", hostname=domain.hostname, code=meaning.code, failures=domain.failure_count)
        if domain.status == "failed":
            return Done()
        return Again(backoff.delay(backoff.FAILURES, domain.failure_count))

    async def _postponed(
        self, job: Job, meaning: Meaning, detail: Mapping[str, Any], retry_after: timedelta | None
    ) -> Outcome:
        log.warning("ca_trouble", code=meaning.code, detail=detail)
        await self._ledger.postponed(job, Finding(meaning.code, meaning.message, meaning.who, self._now(), detail))
        return Again(max(retry_after or timedelta(0), backoff.delay(backoff.CA_TROUBLE, job.attempts)))
