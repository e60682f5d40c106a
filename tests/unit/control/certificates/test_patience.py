"""Pauses between two questions."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest

from control.certificates.patience import FIRST_PAUSE, OutOfPatience, Patience


async def test_a_wish_beyond_the_bound_ends_the_patience_at_once_and_is_passed_on():
    started = monotonic()
    with pytest.raises(OutOfPatience) as stopped:
        await Patience(timedelta(seconds=5)).pause([None, timedelta(seconds=3), timedelta(hours=1)])
    assert stopped.value.retry_after == timedelta(hours=1)
    assert monotonic() - started < 1


async def test_without_a_wish_pauses_double_until_the_bound():
    patience = Patience(FIRST_PAUSE * 4)
    started = monotonic()
    await patience.pause([None])
    await patience.pause([])
    assert monotonic() - started >= 3 * FIRST_PAUSE.total_seconds()
    with pytest.raises(OutOfPatience) as stopped:
        await patience.pause([None])
    assert stopped.value.retry_after == timedelta(0)


async def test_a_wish_of_the_ca_is_obeyed():
    started = monotonic()
    await Patience(timedelta(seconds=5)).pause([timedelta(milliseconds=500)])
    assert monotonic() - started >= 0.5
