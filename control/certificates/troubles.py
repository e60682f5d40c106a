"""What comes of a run that did not end in a certificate: what is written down, and when it is tried again.

| trouble                                    | counts for the domain | tried again                                  |
| ------------------------------------------ | --------------------- | -------------------------------------------- |
| the CA could not validate the name         | yes                   | backoff.FAILURES                             |
| the pre-flight says that it must fail      | once it stays so      | backoff.PREFLIGHT                            |
| a limit that we keep has no room           | no                    | when it has                                  |
| the CA says that a limit of its is reached | no                    | at another CA soon, or when this one says so |
| the CA is in trouble                       | no                    | at another CA soon, or backoff.CA_TROUBLE    |
| Vault, or the zone of the challenges       | no                    | backoff.VAULT_TROUBLE, CA_TROUBLE            |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from control.acme.problems import AcmeError, AcmeRefused, Meaning
from control.certificates import backoff
from control.certificates.authorities import Authorities, Authority
from control.certificates.challenges import Solver
from control.certificates.exchange import OrderFailed
from control.certificates.ledger import Ledger
from control.certificates.patience import OutOfPatience
from control.dns.sighting import Code
from control.dns.update import DnsUpdateError
from control.jobs import Again, Done, Job, Outcome
from control.limits.limits import LimitReached
from control.vault import VaultError
from core.certificate import CertificateError
from core.domain import FOR_TENANTS, Domain, Finding

# Another CA is asked soon, after a pause that keeps a mistake of ours from spinning.
NEXT_CA = timedelta(seconds=5)
# An order at which its CA has come to no end for so long is given up, so that a new one can be sent, also elsewhere.
GIVEN_UP = timedelta(days=1)
# A domain with a certificate is not left paused until it expires: the pre-flight, which costs nothing, is tried again.
PAUSED = (timedelta(days=1),)
# Whoever waits for one moment does not come in that very moment; a limit is an upper bound, so only later.
LONGEST_LATENESS = timedelta(seconds=10)

# More likely this process's own clock than the CA's; the order keeps what it has until that is right.
BY_THE_CLOCK = frozenset({"certificate_not_yet_valid", "certificate_expired"})

log = structlog.get_logger(__name__)


class Troubles:
    """Of one run. `most`: failures of a domain before it is paused. `authority`: the CA, once there is one."""

    def __init__(
        self, job: Job, ledger: Ledger, authorities: Authorities, most: int, now: Callable[[], datetime]
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._authorities = authorities
        self._most = most
        self._now = now
        self.authority: Authority | None = None

    async def failed(self, failed: OrderFailed) -> Outcome:
        meaning, detail = failed.meaning, failed.problem.to_json()
        if self.authority is not None:
            self._authorities.count(self.authority, meaning.code)
        if not meaning.counts:
            await self._ledger.orders.close(self._job, detail)
            return await self._postponed(meaning, detail, None)
        finding = Finding(meaning.code, meaning.message, meaning.who, self._now(), detail)
        directory = self.authority.directory_url if self.authority and failed.validation else None
        return await self._counted("challenge_failed", finding, directory, None)

    async def preflight(self, finding: Finding) -> Outcome:
        """It may be that the tenant has not led the name here yet; only what stays so counts.

        That another tenant has proved the name counts at once: it would be kept from them for as long as this lasts.
        """
        delay = backoff.delay(backoff.PREFLIGHT, self._job.attempts)
        stays = self._job.attempts >= len(backoff.PREFLIGHT) or finding.code == Code.OWNERSHIP_CONTESTED
        if finding.who == "tenant" and stays:
            return await self._counted("preflight_failed", finding, None, delay)
        await self._ledger.postponed(self._job, finding)
        return await self._again(delay, finding.code, finding.message)

    async def limited(self, reached: LimitReached) -> Outcome:
        log.info("limit_reached", code=reached.code, until=reached.until.isoformat())
        await self._ledger.postponed(self._job, Finding(reached.code, str(reached), "nobody", self._now(), {}))
        # What came before it went well, so that later trouble is the first of its kind.
        return await self._again(self._left(reached.until), reached.code, str(reached), progress=True)

    async def refused(self, error: AcmeError) -> Outcome:
        """Whatever the CA says instead of doing what it was asked; it may well be the tenant's to mend."""
        meaning = error.meaning
        if self.authority is not None and not meaning.counts:
            self._authorities.count(self.authority, meaning.code)
        if not isinstance(error, AcmeRefused):
            return await self._elsewhere(error, meaning, {})
        detail = error.problem.to_json()
        if meaning.counts:
            return await self.failed(OrderFailed(error.problem, meaning))
        if meaning.code == "ca_rate_limited" and self.authority is not None:
            said = None if error.retry_after is None else self._now() + error.retry_after
            until = await self._ledger.orders.refused_by_ca(self._job, self.authority.directory_url, detail, said)
            row = await self._ledger.orders.under_way(self._job)
            if row is not None and row.url is None:  # it was not taken, so that another CA may have it
                await self._ledger.orders.close(self._job, detail, give_back=True)
            bound = row is not None and row.url is not None
            if len(self._authorities.in_order()) > 1 and not bound:
                return await self._postponed(meaning, detail, NEXT_CA)
            return await self._postponed(meaning, detail, self._left(until))
        if not meaning.outage:
            await self._ledger.orders.close_old(self._job, detail, GIVEN_UP)
        return await self._elsewhere(error, meaning, detail)

    async def unusable(self, error: CertificateError) -> Outcome:
        problem = {"type": error.code}
        if error.code in BY_THE_CLOCK:
            await self._ledger.orders.close_old(self._job, problem, GIVEN_UP)
        else:
            await self._ledger.orders.close(self._job, problem)
        return await self._postponed(Meaning(error.code, str(error), "ca", False), {}, None)

    async def slow(self, late: OutOfPatience) -> Outcome:
        log.info("ca_slow")
        await self._ledger.orders.close_old(self._job, {"type": "ca_slow"}, GIVEN_UP)
        return Again(max(late.retry_after, backoff.delay(backoff.CA_TROUBLE, self._job.attempts)))

    async def vault(self, error: VaultError) -> Outcome:
        log.warning("vault_trouble", code=error.code, reason=str(error))
        message = "The platform's secret store does not do what it should; it will be tried again."
        await self._ledger.postponed(self._job, Finding(error.code, message, "operator", self._now(), {}))
        return await self._again(backoff.delay(backoff.VAULT_TROUBLE, self._job.attempts), error.code, message)

    async def zone(self, error: DnsUpdateError) -> Outcome:
        return await self._postponed(Meaning(error.code, str(error), "operator", False), {}, None)

    async def clear(self, solver: Solver, domain: Domain) -> None:
        """What the challenge left behind; it does no harm, so that it may as well be removed later."""
        try:
            await solver.remove(domain)
        except DnsUpdateError as error:
            log.warning("challenge_left_behind", code=error.code, hostname=domain.hostname)

    def paused(self) -> Outcome:
        return Again(backoff.delay(PAUSED, 1))

    async def still_paused(self, finding: Finding) -> Outcome:
        """It would fail again."""
        await self._ledger.postponed(self._job, finding)
        return self.paused()

    def _left(self, until: datetime) -> timedelta:
        """`until`: by PostgreSQL's clock. This process's may be ahead of it, which must not make it spin."""
        return max(until - self._now(), NEXT_CA) + lateness()

    async def _elsewhere(self, error: AcmeError, meaning: Meaning, detail: Mapping[str, Any]) -> Outcome:
        row = await self._ledger.orders.under_way(self._job)
        if row is not None and row.url is None:  # our buckets would refill meanwhile, and the CA's are full already
            await self._ledger.orders.close(self._job, {"type": error.code, "who": meaning.who}, give_back=True)
            row = None
        if self.authority is not None:
            self._authorities.failed(self.authority, error)
            # one that was sent stays where it is for a while
            if row is None and self.authority not in self._authorities.in_order():
                return await self._postponed(meaning, detail, NEXT_CA)
        delay = backoff.delay(backoff.CA_TROUBLE, self._job.attempts)
        return await self._postponed(meaning, detail, max(error.retry_after or timedelta(0), delay))

    async def _counted(
        self, event: str, finding: Finding, directory_url: str | None, delay: timedelta | None
    ) -> Outcome:
        """`delay`: None goes by how often the domain has failed."""
        problem = dict(finding.detail) | {"code": finding.code}
        domain = await self._ledger.failed(
            self._job, event, finding, problem, directory_url=directory_url, most=self._most
        )
        log.info("order_failed", hostname=domain.hostname, code=finding.code, failures=domain.failure_count)
        if domain.ssl_status == "paused":
            return Done() if domain.status == "failed" else self.paused()
        wait = backoff.delay(backoff.FAILURES, domain.failure_count) if delay is None else delay
        return await self._again(wait, finding.code, f"After a failure: {finding.message}")

    async def _postponed(self, meaning: Meaning, detail: Mapping[str, Any], delay: timedelta | None) -> Outcome:
        log.warning("ca_trouble", code=meaning.code, detail=detail)
        await self._ledger.postponed(
            self._job, Finding(meaning.code, meaning.message, meaning.who, self._now(), detail)
        )
        wait = backoff.delay(backoff.CA_TROUBLE, self._job.attempts) if delay is None else delay
        return await self._again(wait, meaning.code, FOR_TENANTS if meaning.who == "operator" else meaning.message)

    async def _again(self, delay: timedelta, code: str, message: str, *, progress: bool = False) -> Outcome:
        wait = max(delay, timedelta(0))
        await self._ledger.next_attempt(self._job, self._now() + wait, code, message)
        return Again(wait, progress)


def lateness() -> timedelta:
    return LONGEST_LATENESS * random.random()  # noqa: S311 -- jitter
