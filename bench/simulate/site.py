"""One domain of the simulated platform, and what came of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bench.simulate.world import Name
from control.certificates import renewal
from control.domains import states


@dataclass(slots=True)
class Site:
    """A domain as its row is. Its transitions are those of the product's tables."""

    name: Name
    status: str = "pending"
    ssl: str = "none"
    failures: int = 0
    attempts: int = 0
    not_before: datetime | None = None
    not_after: datetime | None = None
    window: tuple[datetime, datetime] | None = None
    serial: int = 0
    version: int = 0  # of its plans: an event of an older one is void
    sent: bool = False  # an order is at the CA
    exempt: bool = False  # the order that was counted last
    waiting_since: datetime | None = None
    paused_from: str | None = None  # by its tenant

    def step(self, event: str) -> None:
        """Raises IllegalTransition: then the model, or the table, is wrong."""
        machine = states.machine_of(event)
        if machine == "domain":
            self.status = states.step(machine, self.status, event).to
        else:
            self.ssl = states.step(machine, self.ssl, event).to

    def is_urgent(self, now: datetime) -> bool:
        return (
            self.not_before is not None
            and self.not_after is not None
            and renewal.urgent(self.not_before, self.not_after, now)
        )

    def is_exempt(self, now: datetime) -> bool:
        return renewal.is_exempt(self.window, now)


@dataclass(slots=True)
class Outcome:
    """`renewed`: when each was. `first_waits`: seconds from proof to the first certificate, by the name's number.

    `margins`: what was left of a lifetime at its renewal. `expired_right`, `expired_wrong`: certificates that ran out,
    by whether the name's DNS was right just then; `expired_paused`: by their tenants' will.
    """

    renewed: list[datetime] = field(default_factory=list)
    first_waits: dict[int, float] = field(default_factory=dict)
    margins: list[float] = field(default_factory=list)
    expired_right: int = 0
    expired_wrong: int = 0
    expired_paused: int = 0
    served_at_end: int = 0
    longest_queue: int = 0
    waited_for_limit: Counter[str] = field(default_factory=Counter)


def per_day(moments: Sequence[datetime], start: datetime, days: int) -> list[int]:
    counted = Counter((moment - start) // timedelta(days=1) for moment in moments)
    return [counted[day] for day in range(days)]
