"""What an order, or a failed authorization, takes from the buckets. Knows no database and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from control.limits.gcra import Level, ask, spend
from control.limits.policy import Bucket, Scope, Spent
from core.errors import NameplateError

LONGEST_KEY = 255  # characters; a longer set of names is kept by its hash


class LimitReached(NameplateError):
    """Nothing was spent. `until`: when it may be tried again. `bucket`, `key`: the one that is empty longest."""

    who = "nobody"  # has to act: it passes

    def __init__(self, code: str, message: str, until: datetime, bucket: str, key: str) -> None:
        super().__init__(code, message)
        self.until = until
        self.bucket = bucket
        self.key = key


@dataclass(frozen=True, slots=True)
class Fill:
    """How full one bucket is."""

    bucket: Bucket
    key: str
    level: Level


def keys(scope: Scope, hostnames: Sequence[str], registered_domain: Callable[[str], str]) -> Iterable[str]:
    """Under which the hostnames are counted. A wildcard is authorized under its parent's name, and counts for it."""
    match scope:
        case Scope.ACCOUNT:
            return ("",)
        case Scope.REGISTERED_DOMAIN:
            return {registered_domain(name) for name in hostnames}
        case Scope.NAME:
            return {name.removeprefix("*.") for name in hostnames}
        case Scope.EXACT_SET:
            names = ",".join(sorted(set(hostnames)))
            return (names if len(names) <= LONGEST_KEY else sha256(names.encode()).hexdigest(),)


def order(fills: Sequence[Fill], now: datetime, *, exempt: bool = False) -> Sequence[Fill]:
    """The buckets that an order spends from, after it. `exempt`: it is never refused, and counted all the same.

    Raises LimitReached.
    """
    answers = [(fill, ask(fill.bucket.rate, fill.level, now)) for fill in fills]
    full = [(answer.until, fill) for fill, answer in answers if not answer.allowed]
    if full and not exempt:
        until, fill = max(full, key=lambda one: one[0])
        subject = fill.bucket.subject.format(key=fill.key)
        message = f"{subject[0].upper()}{subject[1:]}: at the CA's limit until {minute(until)}."
        raise LimitReached(fill.bucket.code, message, until, fill.bucket.name, fill.key)
    return [
        replace(fill, level=answer.after if answer.allowed else spend(fill.bucket.rate, fill.level, now))
        for fill, answer in answers
        if fill.bucket.spent is Spent.BY_ORDER
    ]


def failure(fills: Sequence[Fill], now: datetime) -> Sequence[Fill]:
    """The buckets after a failed authorization, which nobody can refuse."""
    return [replace(fill, level=spend(fill.bucket.rate, fill.level, now)) for fill in fills]


def minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
