"""The CAs in the operator's order, and which of them are in trouble just now.

What is remembered is this process's own and only for a while: a replica that starts knows of no trouble and finds out
with a few requests. Only trouble of the CA as a whole counts; a limit of one name, or a tenant's mistake, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from control.acme.account import Account
from control.acme.ca import Ca
from control.acme.client import Client
from control.acme.directory import Meta
from control.acme.problems import AcmeError
from control.certificates import backoff
from control.vault import Vault

# How long a CA is passed over, by how often in a row it was out.
OUT: Sequence[timedelta] = (
    timedelta(seconds=30),
    timedelta(minutes=2),  #   0:02:30
    timedelta(minutes=5),  #   0:07:30
    timedelta(minutes=15),  #  0:22:30, and every quarter of an hour from here
)
LONGEST_OUT = timedelta(days=1)  # whatever the CA asks for
# In a row and without a success between them: one order at which the CA stumbles says nothing about the others.
FAILURES = 3

log = structlog.get_logger(__name__)


class Authority:
    """One CA. `contact`: a URL, or empty. `profile`: None leaves it to the CA. Close it at the end."""

    def __init__(self, ca: Ca, vault: Vault, pool: asyncpg.Pool[Any]) -> None:
        self.name = ca.name
        self.directory_url = ca.directory_url
        self.contact = ca.contact
        self.profile = ca.profile
        self._caa_identities = ca.caa_identities
        ca_file = str(ca.ca_file) if ca.ca_file else None
        self.account = Account(vault, pool, ca.directory_url, ca.contact, ca_file, eab=ca.eab)

    async def client(self) -> Client:
        """Raises VaultError, AcmeError, and asyncpg's errors."""
        return await self.account.client()

    @property
    def meta(self) -> Meta | None:
        """What its directory says of it; None until `client()` has read it."""
        return self.account.meta

    @property
    def caa_identities(self) -> Sequence[str]:
        """The names that a CAA record lets it issue by; empty until `client()` has read its directory."""
        if self._caa_identities is not None:
            return self._caa_identities
        return self.meta.caa_identities if self.meta else ()

    def close(self) -> None:
        self.account.close()


class CaMetrics:
    """`orders`: by ca and outcome (`issued`, or the code of what came instead). `out`: 1 while it is passed over."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.orders = Counter(
            "nameplate_acme_orders_total", "Attempts at a certificate.", ["ca", "outcome"], registry=registry
        )
        self.out = Gauge(
            "nameplate_acme_ca_out", "1: passed over, because it is in trouble.", ["ca"], registry=registry
        )


class Alarm(Protocol):
    """Who is told that a CA is out, or back. Synchronous, quick; told again and again is told once."""

    def out(self, ca: str, until: datetime) -> None: ...

    def back(self, ca: str) -> None: ...


@dataclass(slots=True)
class _Trouble:
    """`failures`: in a row. `outages`: times in a row that it was out. `until`: out before this."""

    failures: int = 0
    outages: int = 0
    until: datetime | None = None


@dataclass(slots=True)
class _Met:
    """How it has answered last: (code, sentence, when), and when it did what it was asked."""

    failure: tuple[str, str, datetime] | None = None
    success: datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What this process knows of a CA. `until`: it is passed over before then. `failure`: code, sentence, when."""

    name: str
    directory_url: str
    failures: int
    outages: int
    until: datetime | None
    failure: tuple[str, str, datetime] | None
    success: datetime | None


class Authorities:
    """`now`: for what is out until when. No two may have one directory."""

    def __init__(
        self,
        authorities: Sequence[Authority],
        metrics: CaMetrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        alarm: Alarm | None = None,
    ) -> None:
        if not authorities:
            raise ValueError("there is no CA")
        self._all = tuple(authorities)
        self._by_directory = {one.directory_url: one for one in authorities}
        self._metrics = metrics
        self._now = now
        self._alarm = alarm
        self._trouble = {one.directory_url: _Trouble() for one in authorities}
        self._met = {one.directory_url: _Met() for one in authorities}
        for one in authorities:
            self._show(one, out=False)

    @classmethod
    def of(
        cls,
        cas: Sequence[Ca],
        vault: Vault,
        pool: asyncpg.Pool[Any],
        metrics: CaMetrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        alarm: Alarm | None = None,
    ) -> Self:
        """Of the settings' list."""
        return cls([Authority(ca, vault, pool) for ca in cas], metrics, now, alarm)

    def __iter__(self) -> Iterator[Authority]:
        return iter(self._all)

    def in_order(self, now: datetime | None = None) -> Sequence[Authority]:
        """Those not known to be out, in the operator's order; all of them when all are out."""
        moment = now or self._now()
        usable = tuple(one for one in self._all if not self._is_out(one, moment))
        return usable or self._all

    def by_directory(self, url: str) -> Authority | None:
        """None: it is no longer configured."""
        return self._by_directory.get(url)

    def out(self, authority: Authority, until: datetime) -> None:
        """Pass it over before then; an earlier verdict that reaches further stands."""
        trouble = self._trouble[authority.directory_url]
        if trouble.until is None or until > trouble.until:
            trouble.until = until
        self._show(authority, out=True)
        log.warning("ca_out", ca=authority.name, until=trouble.until.isoformat())
        if self._alarm is not None:
            self._alarm.out(authority.name, trouble.until)

    def back(self, authority: Authority) -> None:
        """It has done what it was asked."""
        self._met[authority.directory_url].success = self._now()
        if self._trouble[authority.directory_url] != _Trouble():
            self._trouble[authority.directory_url] = _Trouble()
            log.info("ca_back", ca=authority.name)
            if self._alarm is not None:
                self._alarm.back(authority.name)
        self._show(authority, out=False)

    def failed(self, authority: Authority, error: AcmeError) -> None:
        """An error of the CA's. It is out when it says for how long, or after several outages without a success."""
        self._met[authority.directory_url].failure = (error.code, error.message, self._now())
        if not error.meaning.outage:
            return
        trouble = self._trouble[authority.directory_url]
        trouble.failures += 1
        if self._is_out(authority, self._now()) or (trouble.failures < FAILURES and error.retry_after is None):
            return
        trouble.outages += 1
        wait = max(error.retry_after or timedelta(0), backoff.delay(OUT, trouble.outages))
        self.out(authority, self._now() + min(wait, LONGEST_OUT))

    def health(self) -> Sequence[Health]:
        """Of each CA, in the operator's order."""
        known = ((one, self._trouble[one.directory_url], self._met[one.directory_url]) for one in self._all)
        return [
            Health(
                one.name, one.directory_url, trouble.failures, trouble.outages, trouble.until, met.failure, met.success
            )
            for one, trouble, met in known
        ]

    def count(self, authority: Authority, outcome: str) -> None:
        """`outcome`: issued, or the code of what came instead."""
        if self._metrics is not None:
            self._metrics.orders.labels(authority.name, outcome).inc()

    def close(self) -> None:
        for one in self._all:
            one.close()

    def _is_out(self, authority: Authority, moment: datetime) -> bool:
        until = self._trouble[authority.directory_url].until
        return until is not None and moment < until

    def _show(self, authority: Authority, *, out: bool) -> None:
        if self._metrics is not None:
            self._metrics.out.labels(authority.name).set(int(out))
