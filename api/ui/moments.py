"""A moment in words, as people say it: in 3 minutes, 2 hours ago, on 5 March 2027."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))
_NEARLY = 1.02  # 72 hours are still 3 days a minute later
_FAR = 45 * 86400.0  # seconds; beyond, the date says more


def in_words(moment: datetime, now: datetime) -> str:
    seconds = (moment - now).total_seconds()
    if abs(seconds) >= _FAR:
        return date_in_words(moment)
    if abs(seconds) < 1:
        return "now"
    span = seconds * _NEARLY if seconds > 0 else -seconds
    size, unit = next((size, unit) for size, unit in _UNITS if span >= size)
    number = int(span // size)
    amount = f"{number} {unit}{'' if number == 1 else 's'}"
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def date_in_words(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f"{at.day} {at:%B %Y}"


def short_date(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f"{at.day} {at:%b %Y}"


def in_full(moment: datetime) -> str:
    """As `5 March 2027, 14:03:20 UTC`."""
    return f"{date_in_words(moment)}, {moment.astimezone(UTC):%H:%M:%S} UTC"


def machine(moment: datetime) -> str:
    """RFC 3339, for the attribute `datetime`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
