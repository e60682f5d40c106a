"""When a CA wants a certificate to be renewed (RFC 9773). This file does no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control.acme.directory import url_or_none
from control.acme.order import NotAcme

# When to ask again, if the CA does not say; and the bounds of what it may say (section 4.3.2 wants some).
DEFAULT_POLL = timedelta(hours=6)
SHORTEST_POLL, LONGEST_POLL = timedelta(minutes=1), timedelta(days=1)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """`start`, `end`: the suggested window, in UTC, the start before the end. `retry_after`: when to ask again."""

    start: datetime
    end: datetime
    explanation_url: str | None
    retry_after: timedelta

    @classmethod
    def from_json(cls, fields: object, retry_after: timedelta | None) -> RenewalInfo:
        """`retry_after`: the answer's header. Raises NotAcme, and nothing else."""
        window = fields.get("suggestedWindow") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(window, dict):
            raise NotAcme("renewal information without a window")
        start, end = _date(window.get("start")), _date(window.get("end"))
        if end <= start:
            raise NotAcme("a window that ends before it starts")
        wait = DEFAULT_POLL if retry_after is None else min(max(retry_after, SHORTEST_POLL), LONGEST_POLL)
        return cls(start, end, url_or_none(fields.get("explanationURL")), wait)


def _date(value: object) -> datetime:
    """RFC 3339, which always has an offset."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise NotAcme("not a date")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotAcme("not a date") from None
