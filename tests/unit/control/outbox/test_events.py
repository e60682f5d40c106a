"""The table of what is told holds what can happen, and the words of it can be written for any payload."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.endpoints import EVENTS
from control.domains import states
from control.outbox.events import NOTICES, TENANT_EVENTS, audiences, is_mailed
from control.outbox.message import _SHOWN, Message
from control.outbox.webhook import Response, judge

NOW = datetime(2026, 4, 22, 2, tzinfo=UTC)
CONTROL = Path(__file__).parents[4] / "control"


def test_every_step_of_the_state_machines_has_a_row() -> None:
    actions = {step.action for table in states.TABLES.values() for step in table.values()}
    assert {f"domain.{action}" for action in actions} <= set(NOTICES)


def test_every_action_that_is_recorded_has_a_row() -> None:
    source = "".join(path.read_text() for path in CONTROL.rglob("*.py"))
    recorded = set(re.findall(r'record\(\s*connection,\s*\w+,\s*"(\w+)"', source))
    assert len(recorded) >= 3
    assert {f"domain.{action}" for action in recorded} <= set(NOTICES)


def test_the_api_lists_what_tenants_are_told() -> None:
    assert EVENTS == TENANT_EVENTS


def test_the_admin_is_told_what_the_platform_must_mend() -> None:
    assert audiences("domain.ssl_error", {"who": "tenant"}) == {"tenant"}
    assert audiences("domain.ssl_error", {"who": "operator"}) == {"tenant", "admin"}
    assert audiences("domain.ssl_pause", {}) == {"tenant", "admin"}
    assert audiences("ca.out", {}) == audiences("notification.dead_letter", {}) == {"admin"}
    assert audiences("something.new", {}) == {"tenant"}
    assert is_mailed("domain.ssl_error", {"who": "operator"}, "admin")
    assert not is_mailed("domain.ssl_error", {"who": "operator"}, "tenant")


@pytest.mark.parametrize("event", sorted(NOTICES))
def test_a_sentence_names_only_what_is_shown(event) -> None:
    for template in (NOTICES[event].subject, NOTICES[event].text):
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        assert names <= set(_SHOWN)


values = st.text() | st.integers() | st.none() | st.lists(st.text(), max_size=2)
payloads = st.dictionaries(st.sampled_from([*_SHOWN, "other"]), values, max_size=6)


@given(st.sampled_from([*NOTICES, "something.new"]), payloads)
def test_any_payload_can_be_written_and_breaks_no_line(event, payload) -> None:
    message = Message(uuid4(), event, None, uuid4(), payload, NOW)
    assert message.body().isascii()
    assert message.body() == message.body()
    assert b'"other"' not in message.body().split(b'"data":')[0]
    subject = message.subject()
    assert subject.isprintable()
    assert message.text().endswith("\n")


@pytest.mark.parametrize(("status", "gone"), [(410, True), (404, False), (500, False), (100, False), (304, False)])
def test_only_410_says_that_nothing_is_wanted(status, gone) -> None:
    answer = judge(Response(status, {}), NOW)
    assert answer.gone is gone
