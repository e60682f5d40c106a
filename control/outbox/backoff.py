"""When a delivery is tried again: the schedule that Standard Webhooks recommends, with jitter.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

SCHEDULE: Sequence[timedelta] = (
    timedelta(seconds=5),  #   0:00:05 after the first attempt
    timedelta(minutes=5),  #   0:05:05
    timedelta(minutes=30),  #  0:35:05
    timedelta(hours=2),  #     2:35:05
    timedelta(hours=5),  #     7:35:05
    timedelta(hours=10),  #   17:35:05
    timedelta(hours=14),  #   31:35:05
    timedelta(hours=20),  #   51:35:05
    timedelta(hours=24),  #   75:35:05, and then it is given up
)
TOTAL = sum(SCHEDULE, timedelta(0))
JITTER = 0.1  # of the delay, either way
LONGEST_RETRY_AFTER = timedelta(hours=12)


def delay(attempts: int, age: timedelta, retry_after: timedelta | None, jitter: float) -> timedelta | None:
    """How long to wait after the attempt of this number (1: the first); None: it is given up.

    `age`: how long it is tried already. What has waited behind others for all that time is tried once, not for days
    more. `retry_after`: what the receiver asked for; obeyed up to LONGEST_RETRY_AFTER. `jitter`: from -1 to 1.
    """
    if attempts > len(SCHEDULE) or age >= TOTAL * (1 + JITTER):
        return None
    own = SCHEDULE[max(attempts, 1) - 1] * (1 + JITTER * jitter)
    return own if retry_after is None else max(own, min(retry_after, LONGEST_RETRY_AFTER))
