from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from scenes.domains import NOW, domain

from api.propagation import Nothing
from api.ui.pages.domain import State
from core.domain import CertificateFacts, NextAttempt

WAITING = replace(domain("shop.example.com"), next_attempt=NextAttempt(NOW, "queued", "3 orders are before this one."))


def test_a_turn_in_a_queue_that_moves_by_seconds_is_no_news() -> None:
    later = replace(
        WAITING, next_attempt=NextAttempt(NOW + timedelta(seconds=40), "queued", "3 orders are before this one.")
    )
    version = State(WAITING, Nothing()).version(NOW)
    assert State(later, Nothing()).version(NOW) == version
    an_hour = replace(
        WAITING, next_attempt=NextAttempt(NOW + timedelta(hours=1), "queued", "3 orders are before this one.")
    )
    assert State(an_hour, Nothing()).version(NOW) != version


def test_edges_and_time_that_passes_are_news() -> None:
    facts = CertificateFacts("1", "E7", "00", NOW, NOW + timedelta(days=90))
    live = State(replace(WAITING, status="active", certificate=facts), Nothing(seen=1, known=2))
    assert replace(live, seen=Nothing(seen=2, known=2)).version(NOW) != live.version(NOW)
    assert replace(live, seen=Nothing(seen=1, known=2, age=0.3)).version(NOW) == live.version(NOW)
    assert live.version(NOW + timedelta(days=91)) != live.version(NOW)
