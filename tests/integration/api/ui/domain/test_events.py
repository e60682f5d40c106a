"""A page that is open is told when it would say something else, and nothing otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from scenes.looked_at import Seeing, bring, certify, listening
from scenes.pages import Person
from starlette.types import ASGIApp

from api.propagation import Nothing
from api.service import Unavailable
from api.ui.app import Ui
from api.ui.pages import events
from api.ui.pages.domain import DomainPages, State
from core.domain import Domain


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two looks, and no look without a hint."""
    monkeypatch.setattr(events, "PAUSE", 0.0)
    monkeypatch.setattr(events, "EVERY", 600.0)


def version_of(person: Person) -> str:
    return person.page.text.partition('data-version="')[2].partition('"')[0]


async def test_a_change_is_told_and_nothing_else(
    app: ASGIApp, alice: Person, path: str, domain: Domain, control: asyncpg.Connection[Any], ui: Ui, witness: Seeing
) -> None:
    hints: Any = ui.changes
    async with listening(app, alice, f"{path}/events", f"version={version_of(alice)}") as stream:
        assert stream.status == 200
        assert (await stream.parts.get()) == "retry: 3000\n\n"
        hints.tell()  # of somebody else's domain: the page says the same
        await certify(control, domain.id)
        hints.tell()
        kind, told = await stream.event()
        assert kind == "live"
        assert told["text"] == "shop.example.com is live and secure."
        assert told["text"] in told["html"]
        assert "<html" not in told["html"] and 'id="records"' in told["html"]
        witness.now = Nothing(seen=2, known=3)
        hints.tell()
        _, next_told = await stream.event()
        assert "2</strong> of 3 edges" in next_told["html"]
        assert next_told["version"] != told["version"]
        assert stream.parts.empty()
    await alice.open(path)
    assert version_of(alice) == next_told["version"]


async def test_a_database_that_is_away_for_a_while_ends_nothing(
    app: ASGIApp,
    alice: Person,
    path: str,
    domain: Domain,
    control: asyncpg.Connection[Any],
    ui: Ui,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hints: Any = ui.changes
    asked: list[bool] = []

    async def away(_pages: DomainPages, _visitor: object, _wanted: object) -> State:
        asked.append(True)
        raise Unavailable

    async with listening(app, alice, f"{path}/events", f"version={version_of(alice)}") as stream:
        await stream.parts.get()
        with monkeypatch.context() as patched:
            patched.setattr(DomainPages, "state", away)
            patched.setattr(events, "EVERY", 0.0)
            hints.tell()
            while not asked:
                await asyncio.sleep(0.01)
        await certify(control, domain.id)
        hints.tell()
        assert (await stream.event())[1]["text"] == "shop.example.com is live and secure."


async def test_a_page_that_is_behind_is_told_at_once(app: ASGIApp, alice: Person, path: str) -> None:
    async with listening(app, alice, f"{path}/events", "version=old") as stream:
        assert (await stream.event())[0] == "live"


async def test_buttons_in_what_is_told_can_be_pressed(app: ASGIApp, alice: Person, path: str) -> None:
    async with listening(app, alice, f"{path}/events") as stream:
        _, told = await stream.event()
    assert f'name="csrf" value="{alice.csrf}"' in told["html"]


async def test_what_is_quiet_says_that_it_lives(
    app: ASGIApp, alice: Person, path: str, monkeypatch: pytest.MonkeyPatch, ui: Ui
) -> None:
    monkeypatch.setattr(events, "ALIVE", 0.0)
    async with listening(app, alice, f"{path}/events", f"version={version_of(alice)}") as stream:
        assert (await stream.parts.get()) == "retry: 3000\n\n"
        assert (await stream.parts.get()) == ":\n\n"


async def test_the_end_of_the_session_ends_the_stream(app: ASGIApp, alice: Person, path: str, ui: Ui) -> None:
    hints: Any = ui.changes
    async with listening(app, alice, f"{path}/events", f"version={version_of(alice)}") as stream:
        await stream.parts.get()
        await alice.send("/ui/leave")
        hints.tell()
        assert (await stream.event())[0] == "over"
        assert await stream.is_over()


async def test_a_session_that_ends_by_itself_ends_the_stream(
    app: ASGIApp, alice: Person, path: str, ui: Ui, clock: Any
) -> None:
    hints: Any = ui.changes
    async with listening(app, alice, f"{path}/events", f"version={version_of(alice)}") as stream:
        await stream.parts.get()
        clock.at += timedelta(hours=9)
        hints.tell()
        assert (await stream.event())[0] == "over"


async def test_a_page_that_is_kept_up_to_date_is_no_use_of_the_session(
    app: ASGIApp, alice: Person, path: str, clock: Any
) -> None:
    clock.at += timedelta(minutes=50)
    async with listening(app, alice, f"{path}/events") as stream:
        assert stream.status == 200
    clock.at += timedelta(minutes=15)
    assert (await alice.open(path)).status_code == 401


async def test_a_domain_that_is_deleted_ends_the_stream(
    app: ASGIApp, alice: Person, path: str, domain: Domain, control: asyncpg.Connection[Any], ui: Ui
) -> None:
    hints: Any = ui.changes
    async with listening(app, alice, f"{path}/events") as stream:
        await stream.event()
        await bring(control, domain.id, deleted_at=datetime.now(UTC))
        hints.tell()
        assert (await stream.event())[0] == "over"
        assert await stream.is_over()


async def test_the_end_of_the_process_ends_the_stream(app: ASGIApp, alice: Person, path: str, ui: Ui) -> None:
    hints: Any = ui.changes
    async with listening(app, alice, f"{path}/events") as stream:
        await stream.event()
        hints.close()
        assert await stream.is_over()
        await stream.task
    async with listening(app, alice, f"{path}/events") as late:
        await late.event()
        assert await late.is_over()


async def test_a_stream_has_an_end(app: ASGIApp, alice: Person, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST", 0.0)
    async with listening(app, alice, f"{path}/events") as stream:
        assert (await stream.parts.get()) == "retry: 3000\n\n"
        assert await stream.is_over()


async def test_whoever_takes_nothing_keeps_no_place(
    app: ASGIApp, alice: Person, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "IN_ALL", 1)
    with monkeypatch.context() as patched:
        patched.setattr(events, "STALLED", 0.01)
        async with listening(app, alice, f"{path}/events", "version=old", room=1) as stalled:
            await stalled.task
    async with listening(app, alice, f"{path}/events") as again:
        assert again.status == 200


async def test_streams_are_bounded_and_give_their_place_back(
    app: ASGIApp, alice: Person, path: str, eventually: Callable[..., Any]
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(events.OF_SESSION):
            stream = await stack.enter_async_context(listening(app, alice, f"{path}/events"))
            assert stream.status == 200
        assert (await alice.open(f"{path}/events")).status_code == 429
        assert "Too many pages are kept up to date." in alice.says
    async with listening(app, alice, f"{path}/events") as again:
        assert again.status == 200


async def test_a_tenants_streams_are_bounded_however_many_sessions_it_has(
    app: ASGIApp, alice: Person, enter: Any, owner: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "OF_TENANT", 1)
    again = await enter(owner)
    async with listening(app, alice, f"{path}/events") as first:
        assert first.status == 200
        assert (await again.open(f"{path}/events")).status_code == 429
    async with listening(app, again, f"{path}/events") as second:
        assert second.status == 200


async def test_all_streams_together_are_bounded(
    app: ASGIApp, alice: Person, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "IN_ALL", 1)
    async with listening(app, alice, f"{path}/events") as first:
        assert first.status == 200
        assert (await alice.open(f"{path}/events")).status_code == 429
