"""A certificate for a verified domain, in steps that can each be repeated.

A process may be killed between any two steps, or inside one. The next run begins again at the top, and each step
first looks at what PostgreSQL, Vault and the CA already have:

| step | is there already when | otherwise |
| --- | --- | --- |
| account | Vault has the key, the CA knows it | make the key, newAccount |
| key | Vault has a pending key | make one; Vault must answer before an order is spent |
| order_written_down | an open row in acme_orders | insert it; ssl_status validating |
| order_sent | the row has the order's URL, or the account's list has an order that is written down nowhere | newOrder |
| order_known | the row has the order's URL | update it |
| challenges_published | the order is past pending, its authorizations valid | insert the key authorizations |
| challenges_answered | a challenge is past pending | let the CA validate |
| authorizations_valid | they are | ask until they are |
| finalized | the order is past ready | finalize with a request signed by the pending key |
| downloaded | | ask until the order is valid; fetch its chain |
| checked | | leaf first, key, name, dates |
| stored | Vault has this very certificate | write it, check-and-set |
| recorded | ssl_status is issued | certificates row, transition, order issued, challenges deleted |
| pending_key_destroyed | | destroy it |
| seen | | wait until the sidecars have read the change |
| active | status is active | transition |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from control.acme.account import Account
from control.acme.client import Client
from control.acme.order import HTTP_01, Authorization, Challenge, Order
from control.acme.problems import AcmeError, AcmeRefused, Meaning, Problem, explain
from control.certificates import backoff
from control.certificates.key import PendingKey
from control.certificates.ledger import Ledger, OpenOrder, PublishedChallenge
from control.certificates.patience import OutOfPatience, Patience
from control.certificates.propagation import Propagation
from control.domains.transition import DomainGone
from control.jobs import Again, Done, Job, Outcome
from control.vault import Vault, VaultConflict, VaultError
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

# Sidecars that do not know a token read it from PostgreSQL, so this wait only saves them the question.
CHALLENGE_SEEN = timedelta(seconds=1)
# A sidecar that has not read the change by then is in trouble of its own; the others serve.
CERTIFICATE_SEEN = timedelta(seconds=15)
VALIDATION = timedelta(seconds=90)  # how long one run waits for the CA to validate, and again to issue
# A challenge is answered for as long as its authorization can be used, within these.
SHORTEST_CHALLENGE, LONGEST_CHALLENGE = timedelta(minutes=10), timedelta(days=7)
# Unrecorded orders are those of workers killed in one particular moment; more than these are not ours.
MOST_UNRECORDED = 200

NOT_OFFERED = Meaning(
    "challenge_type_not_offered", "The CA does not offer the HTTP-01 challenge for this name.", "operator", True
)

log = structlog.get_logger(__name__)


class OrderFailed(Exception):
    """The order is lost. `validation`: because an authorization failed."""

    def __init__(self, problem: Problem, meaning: Meaning, *, validation: bool = False) -> None:
        super().__init__(meaning.code)
        self.problem = problem
        self.meaning = meaning
        self.validation = validation


@dataclass(frozen=True, slots=True)
class Limits:
    """`failures`: DOMAINS_MAX_SSL_RETRIES. `validation`: how long one run waits for the CA, twice at most."""

    failures: int = 10
    validation: timedelta = VALIDATION
    certificate_seen: timedelta = CERTIFICATE_SEEN


class Obtainer:
    """`on_step`: called with a step's name after it; for tests that end the process there."""

    def __init__(
        self,
        account: Account,
        vault: Vault,
        ledger: Ledger,
        propagation: Propagation | None = None,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
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
        """Raises LeaseLost and asyncpg's errors; everything else ends in an outcome."""
        try:
            domain = await self._ledger.domain(job)
            if domain.status not in ("verified", "active"):
                return Done()  # failed, or to be verified again: nothing to obtain for now
            try:
                return await self._run(job, domain)
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
                # Not what was ordered: another order may bring it.
                await self._ledger.close_order(job, {"type": error.code})
                return await self._postponed(job, Meaning(error.code, str(error), "ca", False), {}, None)
            except OutOfPatience as late:
                log.info("ca_slow", hostname=domain.hostname)
                return Again(max(late.retry_after, backoff.delay(backoff.CA_TROUBLE, job.attempts)))
            except VaultError as error:
                log.warning("vault_trouble", code=error.code, reason=str(error))
                message = "The platform's secret store does not answer; it will be tried again."
                await self._ledger.postponed(job, self._finding(Meaning(error.code, message, "operator", False), {}))
                return Again(backoff.delay(backoff.VAULT_TROUBLE, job.attempts))
        except DomainGone:
            log.info("domain_gone")
            return Done()

    async def _run(self, job: Job, domain: Domain) -> Outcome:
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
            order = await self._ordered(job, domain, client, key)
            challenges = await self._published(job, client, order)
            self._on_step("challenges_published")
            for challenge in challenges:
                await self._answered(client, challenge)
            self._on_step("challenges_answered")
            await self._validated(client, order)
            self._on_step("authorizations_valid")
            order = await self._finalized(job, domain, client, order, key)
            self._on_step("finalized")
            chain = await self._downloaded(client, order)
            self._on_step("downloaded")
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

    async def _ordered(self, job: Job, domain: Domain, client: Client, key: PendingKey) -> Order:
        """The open order, found again or new. It is neither lost nor invalid."""
        row = await self._ledger.open_order(job)
        self._on_step("order_written_down")
        order = await self._found_again(domain, client, row, key)
        if order is None and row.url is not None:
            # The CA has forgotten it, or its time is over.
            await self._ledger.close_order(job, {"type": "order_lost"})
            row = await self._ledger.open_order(job)
        if order is None:
            await self._ledger.domain(job)
            order = await client.new_order(domain.hostname)
        self._on_step("order_sent")
        if row.url is None:
            await self._ledger.order_sent(job, row, order.url)
        self._on_step("order_known")
        if order.status == "invalid":
            raise await self._why(client, order)
        return order

    async def _found_again(self, domain: Domain, client: Client, row: OpenOrder, key: PendingKey) -> Order | None:
        if row.url is not None:
            try:
                order = await client.order(row.url)
            except AcmeRefused as refused:
                if refused.problem.status == 429 or not _is_lost(refused):
                    raise
                return None
            if order.status != "invalid":
                return order
            failed = await self._why(client, order)
            if failed.problem == EXPIRED:
                return None
            raise failed
        if row.fresh:
            return None
        # Written down in an earlier run, which may have been killed between the CA's answer and the row's update.
        looked_at = 0
        async for urls in client.order_urls():
            for url in await self._ledger.unrecorded(urls):
                looked_at += 1
                if looked_at > MOST_UNRECORDED:
                    return None
                order = await client.order(url)
                if order.hostnames == {domain.hostname} and await self._is_of_use(client, order, key):
                    return order
        return None

    async def _is_of_use(self, client: Client, order: Order, key: PendingKey) -> bool:
        if order.status == "valid":
            return key.fits_chain(await client.chain(order))
        return order.status in ("pending", "ready")

    async def _published(self, job: Job, client: Client, order: Order) -> Sequence[Challenge]:
        """The challenges that wait for an answer, once sidecars can give theirs."""
        if order.status != "pending":
            return ()
        waiting = [
            (authorization, _http_01(authorization))
            for authorization in [await client.authorization(url) for url in order.authorizations]
            if authorization.status == "pending"
        ]
        if waiting:
            published = [
                PublishedChallenge(challenge.token, client.key_authorization(challenge.token), self._until(authorization))
                for authorization, challenge in waiting
            ]
            await self._seen(await self._ledger.publish(job, published), CHALLENGE_SEEN)
        return [challenge for _, challenge in waiting if challenge.status == "pending"]

    def _until(self, authorization: Authorization) -> datetime:
        now = self._now()
        return min(max(authorization.expires or now, now + SHORTEST_CHALLENGE), now + LONGEST_CHALLENGE)

    async def _answered(self, client: Client, challenge: Challenge) -> None:
        try:
            await client.answer(challenge)
        except AcmeRefused as refused:
            # Answered before, by a run that was killed: the CA takes no second answer, and its verdict comes below.
            if refused.problem.name != "malformed":
                raise

    async def _validated(self, client: Client, order: Order) -> None:
        waiting = order.authorizations if order.status == "pending" else ()
        patience = Patience(self._limits.validation)
        while waiting:
            asked = [await client.authorization(url) for url in waiting]
            for authorization in asked:
                if authorization.status not in ("pending", "valid"):
                    raise _validation_failed(authorization)
            waiting = tuple(one.url for one in asked if one.status == "pending")
            if waiting:
                await patience.pause(one.retry_after for one in asked)

    async def _finalized(self, job: Job, domain: Domain, client: Client, order: Order, key: PendingKey) -> Order:
        patience = Patience(self._limits.validation)
        while True:
            order = await client.order(order.url)
            if order.status == "invalid":
                raise await self._why(client, order)
            if order.status == "ready":
                await self._ledger.domain(job)
                return await client.finalize(order, key.signing_request(domain.hostname))
            if order.status != "pending":
                return order
            await patience.pause([order.retry_after])

    async def _downloaded(self, client: Client, order: Order) -> str:
        patience = Patience(self._limits.validation)
        while order.status != "valid":
            if order.status == "invalid":
                raise await self._why(client, order)
            await patience.pause([order.retry_after])
            order = await client.order(order.url)
        return await client.chain(order)

    async def _why(self, client: Client, order: Order) -> OrderFailed:
        """Why an order is invalid: it says so itself, or one of its authorizations does, or its time is over."""
        for url in order.authorizations:
            authorization = await client.authorization(url)
            if authorization.status == "invalid":
                return _validation_failed(authorization)
        problem = order.problem or EXPIRED
        return OrderFailed(problem, explain(problem, validating=True))

    async def _stored(self, job: Job, certificate: Certificate) -> int:
        """The version in Vault. Check-and-set, so that of two workers one writes."""
        path = certificate_path(job.domain_id)
        await self._ledger.domain(job)
        stored = await self._vault.read(path)
        if stored is not None and stored.data.get("fingerprint") == certificate.fingerprint:
            return stored.version
        return await self._vault.write(path, certificate.to_vault(), cas=stored.version if stored else 0)

    async def _seen(self, xid: int | None, bound: timedelta) -> None:
        if self._propagation is None:
            return
        seen = await self._propagation.wait(xid or await self._ledger.transaction_id(), bound)
        if seen.seen < seen.known:
            log.warning("sidecars_behind", seen=seen.seen, known=seen.known)

    async def _failed(self, job: Job, failed: OrderFailed) -> Outcome:
        domain = await self._ledger.failed(
            job,
            self._finding(failed.meaning, failed.problem.to_json()),
            failed.problem.to_json(),
            validation=failed.validation,
            most=self._limits.failures,
        )
        log.info("order_failed", hostname=domain.hostname, code=failed.meaning.code, failures=domain.failure_count)
        if domain.status == "failed":
            return Done()
        return Again(backoff.delay(backoff.FAILURES, domain.failure_count))

    async def _postponed(
        self, job: Job, meaning: Meaning, detail: Mapping[str, Any], retry_after: timedelta | None
    ) -> Outcome:
        log.warning("ca_trouble", code=meaning.code, detail=detail)
        await self._ledger.postponed(job, self._finding(meaning, detail))
        return Again(max(retry_after or timedelta(0), backoff.delay(backoff.CA_TROUBLE, job.attempts)))

    def _finding(self, meaning: Meaning, detail: Mapping[str, Any]) -> Finding:
        return Finding(meaning.code, meaning.message, meaning.who, self._now(), detail)
