"""What a CA says when it refuses for a limit (urn:ietf:params:acme:error:rateLimited): whose limit, and until when.

The sentences are those of Let's Encrypt (boulder, ratelimits/limiter.go). What is not known is taken for a limit of the
whole account, but for an hour at most: to send more could only make it worse, and to wait a week for nothing too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control.limits.policy import Scope

# In this order: "(5) already issued for this exact set" also begins as the sentence of the registered domain.
SENTENCES: Sequence[tuple[re.Pattern[str], Scope]] = (
    (re.compile(r"too many certificates .*exact set"), Scope.EXACT_SET),
    (re.compile(r"too many certificates .*already issued"), Scope.REGISTERED_DOMAIN),
    (re.compile(r"too many failed authorizations"), Scope.NAME),
    (re.compile(r"temporarily prevented from requesting certificates for"), Scope.NAME),
    (re.compile(r"too many new orders"), Scope.ACCOUNT),
)
_UNTIL = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z)")

UNSAID = timedelta(hours=1)  # how long, when the CA does not say it or is not understood
LONGEST = timedelta(days=8)  # no limit of a CA is longer than a week; a clock may be wrong


@dataclass(frozen=True, slots=True)
class Refusal:
    scope: Scope
    until: datetime


def bucket_of(scope: Scope) -> str:
    """The bucket that keeps the CA's own word: its TAT is the time that the CA gave."""
    return f"refused_{scope.value}"


def read(detail: str, now: datetime, retry_at: datetime | None = None) -> Refusal:
    """`detail`: of the problem document. `retry_at`: by its Retry-After, which comes before the sentence's own time."""
    scope = next((scope for sentence, scope in SENTENCES if sentence.search(detail)), None)
    until = retry_at or _said(detail) or now + UNSAID
    longest = UNSAID if scope is None else LONGEST
    return Refusal(scope or Scope.ACCOUNT, min(max(until, now), now + longest))


def _said(detail: str) -> datetime | None:
    found = _UNTIL.search(detail)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
    except ValueError:
        return None
