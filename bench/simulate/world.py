"""What happens to the platform in two years: who registers which names, whose DNS breaks, when the CA is away.

All of it is drawn from one seed before the clock starts, so that every run meets the same world.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from core.public_suffix import PublicSuffixes

START = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)

# Let's Encrypt's plan for its default profile: 90 days, then these.
SHORTER = (
    (datetime(2027, 2, 10, tzinfo=UTC), 64 * DAY),
    (datetime(2028, 2, 16, tzinfo=UTC), 45 * DAY),
)

PERMANENT = 0.10  # of all names, broken for good somewhere in the second half
TEMPORARY = 0.25  # of all names, in each year, broken for a while
LONGEST_TROUBLE = 12 * DAY
BRAND = 120  # names of one registered domain, at once
SMALL = 20  # tenants with one name each, who come within the hour after another's import


class Fault(Enum):
    ELSEWHERE = "elsewhere"  # the name leads to somebody else: the watch sees it
    REFUSED = "refused"  # CAA, DNSSEC, a firewall: only a validation fails


@dataclass(frozen=True, slots=True)
class Trouble:
    """`end`: None for one that stays. `noticed`: after the end, when the tenant asks for another try, if need be."""

    start: datetime
    end: datetime | None
    fault: Fault
    noticed: timedelta


@dataclass(frozen=True, slots=True)
class Name:
    id: UUID
    tenant: int
    hostname: str
    registered_domain: str
    registered_at: datetime
    troubles: tuple[Trouble, ...]
    pause: tuple[datetime, datetime] | None = None  # when its tenant pauses it, and resumes it

    def wrong(self, now: datetime) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.start <= now and (trouble.end is None or now < trouble.end):
                return trouble
        return None


@dataclass(frozen=True, slots=True)
class World:
    names: Sequence[Name]
    end: datetime
    outages: Sequence[tuple[datetime, datetime]]
    incident: datetime  # the CA wants a fifth of its certificates replaced within four days
    small: range  # the names of tenants who come while another's import waits


@dataclass(slots=True)
class Draw:
    """`domains`, `days`: how many. The onset is a platform that brings most of its domains with it."""

    domains: int
    days: int
    seed: int = 7
    _random: random.Random = field(init=False)
    _small: range = field(init=False)
    _suffixes: PublicSuffixes = field(default_factory=PublicSuffixes)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        first = self.domains // 2 + self.domains // 10
        self._small = range(first, first + min(SMALL, self.domains // 20))

    def world(self) -> World:
        return World(
            names=[self._name(number, *what) for number, what in enumerate(self._registrations())],
            end=START + self.days * DAY,
            outages=self._outages(),
            incident=START + 0.7 * self.days * DAY,
            small=self._small,
        )

    def _registrations(self) -> Iterator[tuple[int, str, datetime]]:
        """(tenant, hostname, when): half at once, a tenth by one tenant on one day, a brand, the rest one by one."""
        brought, imported = self.domains // 2, self.domains // 10
        brand = min(BRAND, self.domains // 10)
        tenants = max(2, self.domains // 5)
        day = START + 0.15 * self.days * DAY
        for number in range(self.domains):
            tenant = int(tenants * self._random.random() ** 3)  # a few tenants have many
            host = f"shop.brand{number}.com"
            if number < brought:
                yield tenant, host, START + self._random.random() * DAY / 4
            elif number < brought + imported:
                yield -1, host, day + self._random.random() * timedelta(minutes=10)
            elif number in self._small:
                yield tenants + number, host, day + timedelta(minutes=self._random.uniform(10, 70))
            elif number < self._small.stop + brand:
                yield -2, f"shop{number}.brand.co.uk", START + 0.2 * self.days * DAY
            else:
                yield tenants + number, host, START + self._random.random() * 0.9 * self.days * DAY

    def _name(self, number: int, tenant: int, hostname: str, at: datetime) -> Name:
        return Name(
            id=UUID(int=self._random.getrandbits(128), version=4),
            tenant=tenant,
            hostname=hostname,
            registered_domain=self._suffixes.registered_domain(hostname),
            registered_at=at,
            troubles=tuple(sorted(self._troubles(at), key=lambda trouble: trouble.start)),
        )

    def _troubles(self, at: datetime) -> Iterator[Trouble]:
        years = self.days / 365
        last = START + self.days * DAY
        if self._random.random() < PERMANENT:
            start = START + self.days * DAY * self._random.uniform(0.5, 0.9)
            if start > at:
                last = start
                yield Trouble(start, None, self._fault(), timedelta(0))
        for _ in range(int(years) + (self._random.random() < years % 1)):
            if self._random.random() < TEMPORARY:
                start = at + (START + self.days * DAY - at) * self._random.random()
                length = min(timedelta(hours=self._random.lognormvariate(2.5, 1.5)), LONGEST_TROUBLE)
                if start + length < last:
                    yield Trouble(start, start + length, self._fault(), self._random.random() * 2 * DAY)

    def _fault(self) -> Fault:
        return self._random.choice(tuple(Fault))

    def _outages(self) -> Sequence[tuple[datetime, datetime]]:
        """A whole day once, and eight short ones."""
        day = START + 0.4 * self.days * DAY
        short = [START + self.days * DAY * self._random.random() for _ in range(8)]
        lengths = [timedelta(minutes=self._random.uniform(10, 240)) for _ in short]
        return sorted([(day, day + DAY), *((at, at + length) for at, length in zip(short, lengths, strict=True))])


def planned(now: datetime) -> timedelta:
    """Today's lifetime, and what it becomes."""
    return next((lifetime for since, lifetime in reversed(SHORTER) if now >= since), 90 * DAY)


def short(_now: datetime) -> timedelta:
    """That of 2028, all the time."""
    return 45 * DAY
