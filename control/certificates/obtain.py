"""A certificate for a verified domain, in steps that can each be repeated.

A process may be killed between any two steps, or inside one. The next run begins again at the top, and each step
first looks at what PostgreSQL, Vault and the CA have already:

| step                  | done already when                        | otherwise                                      |
| --------------------- | ---------------------------------------- | ---------------------------------------------- |
| key                   | Vault has a pending key                  | make one, check-and-set; no Vault, no order    |
| account               | Vault has its key, the CA its public key | make the key, check-and-set; newAccount        |
| order_written_down    | an open row in acme_orders               | pre-flight; insert it and spend it; validating |
| order_sent            | the CA has the row's order, or one that  | newOrder                                       |
|                       | is written down nowhere                  |                                                |
| order_known           | the row has the order's URL              | write it there                                 |
| challenges_published  | the order is past pending                | publish the key authorizations                 |
| challenges_answered   | the challenges are past pending          | let the CA validate                            |
| authorizations_valid  | they are                                 | ask until they are                             |
| finalized             | the order is past ready                  | send a request signed by the pending key       |
| downloaded            |                                          | ask until the order is valid; fetch its chain  |
| checked               |                                          | order of the chain, key, name, dates           |
| stored                | Vault has this very certificate          | write it, check-and-set                        |
| recorded              | ssl_status is issued or renewed          | certificates row, transition, order issued     |
| pending_key_destroyed | it is                                    | destroy it                                     |
| seen                  | the sidecars have read the change, their | wait for them                                  |
|                       | Envoys have acknowledged it              |                                                |
| active                | status is active                         | transition                                     |

A renewal is the same on a domain whose ssl_status is `expiring`: the old certificate is served until the sidecars have
read of the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from control.acme.order import DNS_01, HTTP_01
from control.acme.problems import AcmeError
from control.certificates.authorities import Authorities
from control.certificates.challenges import DelegatedZone, Dns01, Http01, Solver, kind_of
from control.certificates.choice import Choice, Chosen, Preflight, PreflightFailed
from control.certificates.exchange import Exchange, OrderFailed
from control.certificates.held import Paused
from control.certificates.key import PendingKey
from control.certificates.ledger import Ledger
from control.certificates.patience import OutOfPatience
from control.certificates.placement import Placement
from control.certificates.propagation import Propagation, Seen
from control.certificates.troubles import Troubles
from control.dns.update import DnsUpdateError
from control.domains.states import PROVEN, STORED
from control.domains.transition import DomainGone
from control.jobs import Done, Job, LeaseLost, Outcome
from control.limits.limits import LimitReached
from control.vault import Vault, VaultError
from core.certificate import Certificate, CertificateError
from core.domain import Domain, Finding
from core.vault import certificate_path, pending_key_path

STEPS = (
    "key",
    "account",
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

NO_DNS_01 = ("dns_01_unavailable", "A wildcard needs DNS-01, which this installation does not offer.", "operator")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """`failures`: of a domain, before it is paused (DOMAINS_MAX_SSL_RETRIES).

    `ca`: how long one run waits for the CA to validate, and again to issue; then it makes room for other domains.
    `certificate_seen`: how long for the sidecars; one that is not there by then is in trouble of its own.
    `certificate_acknowledged`: how long for their Envoys then. Nearly always none has the name, or it takes
    milliseconds; one that does not answer must not hold up all domains.
    """

    failures: int = 10
    ca: timedelta = timedelta(seconds=30)
    certificate_seen: timedelta = timedelta(seconds=15)
    certificate_acknowledged: timedelta = timedelta(seconds=5)


class Obtainer:
    """`zone`: where DNS-01 is answered, if it is. `on_step`: called with the name of each step after it, for tests that
    end the process there.
    """

    def __init__(
        self,
        authorities: Authorities,
        vault: Vault,
        ledger: Ledger,
        propagation: Propagation | None = None,
        zone: DelegatedZone | None = None,
        preflight: Preflight | None = None,
        limits: Limits = Limits(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._authorities = authorities
        self._vault = vault
        self._ledger = ledger
        self._propagation = propagation
        self._zone = zone
        self._limits = limits
        self._now = now
        self._on_step = on_step
        self._choice = Choice(authorities, ledger, preflight, now)
        self._placement = Placement(ledger, now, on_step)
        self._solvers: dict[str, Solver] = {HTTP_01: Http01(ledger, self._seen)}
        if zone is not None:
            self._solvers[DNS_01] = Dns01(zone)

    async def obtain(self, job: Job) -> Outcome:
        """Raises LeaseLost and asyncpg's errors; everything else becomes an outcome."""
        troubles = Troubles(job, self._ledger, self._authorities, self._limits.failures, self._now)
        try:
            try:
                return await self._run(job, troubles)
            except OrderFailed as failed:
                return await troubles.failed(failed)
            except PreflightFailed as failed:
                return await troubles.preflight(failed.finding)
            except LimitReached as reached:
                return await troubles.limited(reached)
            except AcmeError as error:
                return await troubles.refused(error)
            except CertificateError as error:
                return await troubles.unusable(error)
            except OutOfPatience as late:
                return await troubles.slow(late)
            except VaultError as error:
                return await troubles.vault(error)
            except DnsUpdateError as error:
                return await troubles.zone(error)
        except DomainGone:
            log.info("domain_gone")
            return Done()
        except Paused:
            log.info("domain_paused")
            return Done()  # resuming asks for a job

    async def _run(self, job: Job, troubles: Troubles) -> Outcome:
        domain = await self._ledger.domain(job, paused_too=True)
        if domain.paused_from in STORED and domain.status == "verified":
            return await self._load(job, domain, None)  # it is paid for, and served as one that was paused later is
        if domain.paused_from is not None:
            raise Paused(domain.id)
        if domain.ssl_status == "paused" and domain.status in PROVEN:
            if domain.status == "moved":
                return troubles.paused()
            try:
                await self._choice.candidates(domain, await kind_of(domain, self._zone))
            except PreflightFailed as failed:
                return await troubles.still_paused(failed.finding)
            domain = await self._ledger.resumed(job)
        if domain.status not in ("verified", "active") or domain.ssl_status == "paused":
            if domain.ssl_status in STORED:  # so that its next certificate has a key of its own
                await self._vault.destroy(pending_key_path(domain.id))
            return Done()  # failed, moved away, or to be verified again
        xid = None
        if domain.ssl_status not in STORED:
            xid = await self._issue(job, domain, troubles)
        return await self._load(job, domain, xid)

    async def _load(self, job: Job, domain: Domain, xid: int | None) -> Outcome:
        """`xid`: of the transaction that made the certificate known; None: an earlier run's."""
        await self._vault.destroy(pending_key_path(domain.id))
        self._on_step("pending_key_destroyed")
        seen = await self._acknowledged(xid, domain.hostname)
        self._on_step("seen")
        await self._ledger.loaded(job, seen)
        self._on_step("active")
        return Done()

    async def _issue(self, job: Job, domain: Domain, troubles: Troubles) -> int:
        """Returns the id of the transaction that made the certificate known."""
        kind = await kind_of(domain, self._zone)
        if kind not in self._solvers:
            raise PreflightFailed(Finding(*NO_DNS_01, self._now(), {}))
        key = await PendingKey.of_domain(self._vault, domain.id)
        self._on_step("key")
        chosen = await self._chosen(job, domain, kind)
        troubles.authority = chosen.authority
        chain = await self._chain(job, domain, chosen, key, self._solvers[kind], kind)
        self._authorities.back(chosen.authority)
        self._authorities.count(chosen.authority, "issued")
        certificate = Certificate.parse(chain, key.pem)
        certificate.check(domain.hostname, self._now())
        self._on_step("checked")
        version = await self._stored(job, certificate)
        self._on_step("stored")
        xid = await self._ledger.issued(job, certificate, version, chosen.authority.directory_url)
        log.info("certificate_issued", hostname=domain.hostname, serial=certificate.serial, ca=chosen.authority.name)
        self._on_step("recorded")
        await troubles.clear(self._solvers[kind], domain)
        return xid

    async def _chosen(self, job: Job, domain: Domain, kind: str) -> Chosen:
        chosen = await self._choice.under_way(job)
        if chosen is None:
            chosen = await self._choice.order(job, await self._choice.candidates(domain, kind))
        self._on_step("account")
        self._on_step("order_written_down")
        return chosen

    async def _chain(self, job: Job, domain: Domain, chosen: Chosen, key: PendingKey, solver: Solver, kind: str) -> str:
        exchange = Exchange(chosen.client, domain.hostname, key, self._limits.ca)
        order = await self._placement.of(job, domain, chosen, exchange)
        waiting = await exchange.waiting(order, kind)
        if waiting:
            await solver.publish(job, domain, chosen.client, waiting)
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

    async def _seen(self, xid: int, bound: timedelta) -> None:
        if self._propagation is not None:
            await self._propagation.applied(xid, bound)

    async def _acknowledged(self, xid: int | None, hostname: str) -> Seen | None:
        """By the sidecars and their Envoys, or by as many as there are when there was time enough."""
        if self._propagation is None:
            return None
        if xid is None:  # an earlier run recorded it: whoever has seen a later transaction has seen that one
            xid = await self._ledger.transaction_id()
        await self._seen(xid, self._limits.certificate_seen)
        return await self._propagation.acknowledged(xid, self._limits.certificate_acknowledged, hostname)
