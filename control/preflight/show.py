"""Strangers' DNS and HTTP in JSON: bounded, sorted because answers rotate, and without control characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from control.dns.outcome import Outcome
from control.dns.verdict import describe, printable
from control.preflight.questions import Address

SHOWN = 10  # of each kind


def texts(found: Iterable[str]) -> list[str]:
    return [printable(text) for text in sorted(set(found))[:SHOWN]]


def listed(found: Iterable[Address]) -> list[str]:
    return [str(one) for one in sorted(found, key=lambda one: (one.version, int(one)))[:SHOWN]]


def words(outcomes: Sequence[Outcome]) -> Mapping[str, str]:
    """What each resolver said, in a word: found, nodata, nxdomain, servfail, timeout, …"""
    return {
        outcome.resolver: "found" if (word := describe(outcome, False)) == "other" else word for outcome in outcomes
    }
