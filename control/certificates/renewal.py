"""When a certificate is renewed. Knows no database and no clock: the same facts give the same time on every replica.

margin   what is kept in hand at the end: `days_before`, or a third of the lifetime where that is less
spread   certificates of one hour are not renewed in one hour: up to half the margin, at most 5 days, earlier
window   the CA's suggestion (RFC 9773 section 4.2): any time in it, unless that would eat up half the margin
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

LONGEST_SPREAD = timedelta(days=5)  # 5,000 renewals in it are 42 an hour; Let's Encrypt takes 100 an hour
LONGEST_URGENT = timedelta(days=5)
# A CA whose windows always lie in the past would have each new certificate replaced at once.
LONGEST_FRESH = timedelta(hours=12)

Window = tuple[datetime, datetime]


def schedule(
    not_before: datetime, not_after: datetime, *, days_before: int, window: Window | None, seed: bytes
) -> datetime:
    """When to renew, in (not_before, not_after). It may lie in the past: then it is due now.

    `window`: start and end, from the CA. `seed`: by which certificates differ (`seed_of`).
    """
    lifetime = max(not_after - not_before, timedelta(0))
    margin = min(timedelta(days=max(days_before, 0)), lifetime / 3)
    chosen = None if window is None else _within(window, latest=not_after - margin / 2, seed=seed)
    if chosen is not None:
        return max(chosen, not_before + min(lifetime / 20, LONGEST_FRESH))
    return not_after - margin - min(margin / 2, LONGEST_SPREAD) * _fraction(seed)


def is_exempt(window: Window | None, now: datetime) -> bool:
    """An order that names what it replaces is outside all of the CA's limits while this is so."""
    return window is not None and window[0] <= now < window[1]


def urgent(not_before: datetime, not_after: datetime, now: datetime) -> bool:
    """So little is left that this renewal comes before everything else: a tenth of the lifetime, at most 5 days."""
    return not_after - now < min((not_after - not_before) / 10, LONGEST_URGENT)


def seed_of(domain_id: UUID, serial: str) -> bytes:
    """Another one for each certificate, so that those of one wave drift apart from renewal to renewal."""
    return domain_id.bytes + serial.encode()


def _within(window: Window, *, latest: datetime, seed: bytes) -> datetime | None:
    """A time in the part of the window that is not too late, if there is one."""
    start, end = window[0], min(window[1], latest)
    return start + (end - start) * _fraction(seed) if start < end else None


def _fraction(seed: bytes) -> float:
    """Uniform in [0, 1)."""
    return int.from_bytes(sha256(seed).digest()[:6]) / 2**48
