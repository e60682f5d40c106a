"""What a tenant can do about a domain as it stands, and what comes by itself. Pure.

The buttons are those that api.service.Domains would not refuse; a refusal is still possible, for time passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.service import PROVEN_STATUSES
from api.ui.explained import EXPLAINED
from api.ui.situation import AT_REST
from core.domain import Domain

UNDER_WAY = frozenset({"expiring", "validating"})
# A look at the DNS makes none of these any sooner.
WAITS_ITS_TURN = frozenset({"ca_unavailable", "ca_rate_limited", "queued"})


@dataclass(frozen=True, slots=True)
class Possible:
    verify: bool
    pause: bool
    resume: bool
    renew: bool


@dataclass(frozen=True, slots=True)
class Coming:
    """What happens next without anybody's doing. `why` not before, or ''. `at` None: it is not known.

    `by_date`: the day says more than how far away it is.
    """

    text: str
    at: datetime | None
    why: str = ""
    by_date: bool = False


def possible(domain: Domain) -> Possible:
    status, paused = domain.status, domain.ssl_status == "paused"
    return Possible(
        verify=status in ("pending", "dns_check", "moved") or (status == "verified" and _waits_for_dns(domain)),
        pause=status in PROVEN_STATUSES and domain.paused_from is None,
        resume=status == "failed" or domain.paused_from is not None or (paused and status != "moved"),
        renew=status == "active" and domain.in_use is not None and not paused and domain.ssl_status not in UNDER_WAY,
    )


def _waits_for_dns(domain: Domain) -> bool:
    return domain.next_attempt is not None and domain.next_attempt.code not in WAITS_ITS_TURN


def renews(domain: Domain, now: datetime) -> datetime | None:
    """When the managed certificate is renewed by itself; None: that is not known, or it is overdue."""
    rests = domain.status == "active" and domain.ssl_status in AT_REST
    return domain.renew_at if rests and domain.renew_at is not None and domain.renew_at > now else None


def coming(domain: Domain, now: datetime) -> Coming | None:
    """None: nothing comes by itself."""
    attempt = domain.next_attempt
    if domain.paused_from is not None or domain.status == "failed":
        return None
    if attempt is not None and domain.status in ("verified", "active"):
        why = EXPLAINED.get(attempt.code) or attempt.message
        return _soon("We try again", attempt.at, now, why)
    if domain.status in ("pending", "dns_check"):
        if domain.verify_deadline <= now:
            return Coming("We look once more any moment", None)
        return Coming("We keep looking by ourselves, until", domain.verify_deadline, by_date=True)
    if (at := renews(domain, now)) is not None:
        return Coming("The certificate renews by itself on", at, by_date=True)
    return Coming("We look again every few hours", None) if domain.status == "moved" else None


def _soon(text: str, at: datetime, now: datetime, why: str) -> Coming:
    return Coming(text, at, why) if at > now else Coming(f"{text} any moment", None, why)
