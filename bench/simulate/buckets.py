"""The buckets of control.limits in memory: the same policy and the same arithmetic, a dictionary for the table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from control.limits.gcra import Answer, Level, ask, give_back
from control.limits.policy import LETSENCRYPT, Policy, Scope, Spent
from control.limits.spending import Fill, failure, keys, order

UNLIMITED = 1_000_000


class Buckets:
    """One directory's; a name's registered domain is given with it."""

    def __init__(self, policy: Policy = LETSENCRYPT) -> None:
        self._policy = policy
        self._levels: dict[tuple[str, str], Level] = {}

    def take(self, hostname: str, registered: str, now: datetime, *, exempt: bool) -> None:
        """Raises LimitReached."""
        policy = [one for one in self._policy if one.counts_spared or not exempt]
        self._keep(order(self._fills(policy, hostname, registered, now), now, exempt=exempt))

    def failed(self, hostname: str, registered: str, now: datetime, *, exempt: bool) -> None:
        """An authorization; and so no certificate comes of the order."""
        by_failure = [one for one in self._policy if one.spent is Spent.BY_FAILURE]
        self._keep(failure(self._fills(by_failure, hostname, registered, now), now))
        self.not_issued(hostname, registered, now, exempt=exempt)

    def not_issued(self, hostname: str, registered: str, now: datetime, *, exempt: bool) -> None:
        of_certificates = [one for one in self._policy if one.of_certificates and (one.counts_spared or not exempt)]
        for fill in self._fills(of_certificates, hostname, registered, now):
            self._levels[fill.bucket.name, fill.key] = give_back(fill.bucket.rate, fill.level)

    def succeeded(self, hostname: str) -> None:
        for one in self._policy:
            if one.emptied_by_success:
                self._levels.pop((one.name, hostname), None)

    def room(self, now: datetime) -> int:
        return min((answer.room for answer in self._account(now)), default=UNLIMITED)

    def next_order(self, now: datetime) -> datetime:
        return max((answer.until for answer in self._account(now)), default=now)

    def _account(self, now: datetime) -> list[Answer]:
        return [
            ask(one.rate, self._levels.get((one.name, "")), now) for one in self._policy if one.scope is Scope.ACCOUNT
        ]

    def _fills(self, policy: Policy, hostname: str, registered: str, now: datetime) -> list[Fill]:
        return [
            Fill(one, key, self._levels.get((one.name, key)) or Level(now, now))
            for one in policy
            for key in keys(one.scope, [hostname], lambda _hostname: registered)
        ]

    def _keep(self, fills: Sequence[Fill]) -> None:
        for fill in fills:
            self._levels[fill.bucket.name, fill.key] = fill.level
