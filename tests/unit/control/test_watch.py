from __future__ import annotations

from datetime import timedelta

import pytest

from control.domains.watch import JITTER, MISSES, NEAR, pause

INTERVAL = timedelta(hours=6)


@pytest.mark.parametrize(
    ("misses", "parts"),
    [
        (0, NEAR),
        (1, 1),
        (2, 1),
        (MISSES, 1),
        (MISSES + 1, 2),
        (MISSES + 2, 4),
        (MISSES + 3, 8),
        (MISSES + 4, NEAR),
        (9999, NEAR),
    ],
)
def test_the_pause_by_the_misses_in_a_row(misses: int, parts: int) -> None:
    for _ in range(20):
        assert (
            INTERVAL / NEAR * parts * (1 - JITTER) <= pause(INTERVAL, misses) <= INTERVAL / NEAR * parts * (1 + JITTER)
        )


def test_names_that_were_looked_at_together_do_not_stay_together() -> None:
    assert len({pause(INTERVAL, 0) for _ in range(10)}) > 1
