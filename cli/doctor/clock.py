"""This machine's clock against those it works with: PostgreSQL's to the millisecond, others by their Date (a second).

Certificates, tokens and the ends of leases are about time: a clock that is wrong is found out here, not by a tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime

import httpx

from cli.doctor.finding import Finding, found, well
from cli.doctor.postgresql import AWAY
from core.database import Access

WHAT = "clock"
WITHIN = 5.0
APART, OFF = 2000.0, 30_000.0  # milliseconds

Now = Callable[[], float]  # seconds since 1970
Asking = Callable[[Now], Awaitable[float | None]]


async def examine(sources: Mapping[str, Asking], now: Now) -> Sequence[Finding]:
    """Those that do not answer are another check's to tell of."""
    names = list(sources)
    skews = await asyncio.gather(*(sources[name](now) for name in names))
    known = {name: skew for name, skew in zip(names, skews, strict=True) if skew is not None}
    findings = [
        found("clock_off" if abs(skew) > OFF else "clock_apart", WHAT, f"{name}'s is {_words(skew)}")
        for name, skew in known.items()
        if abs(skew) > APART
    ]
    if findings or not known:
        return findings or [well(WHAT, "nobody to compare it with")]
    return [well(WHAT, ", ".join(f"{name} {skew:+.0f} ms" for name, skew in known.items()))]


def of_postgresql(access: Access) -> Asking:
    async def skew(now: Now) -> float | None:
        try:
            connection = await replace(access, pooled=True).connect(WITHIN, command_timeout=WITHIN)
            try:
                await connection.fetchval("SELECT 1")
                before = now()
                there = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
                return float(there - (before + now()) / 2) * 1000
            finally:
                connection.terminate()
        except (*AWAY, ValueError):
            return None

    return skew


def of_http(client: Callable[[], httpx.AsyncClient], url: str) -> Asking:
    """By the Date of any answer. It has whole seconds: what is within the second that it names is no skew."""

    async def skew(now: Now) -> float | None:
        try:
            async with client() as http:
                before = now()
                answer = await http.get(url, timeout=WITHIN)
                after = now()
            there = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (httpx.HTTPError, OSError, KeyError, ValueError):
            return None
        if there + 1 < before:
            return (there + 1 - before) * 1000
        return max(0.0, there - after) * 1000

    return skew


def _words(skew: float) -> str:
    return f"{abs(skew) / 1000:.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
