"""ACME tokens: fed, read once when unknown, forgotten in time; a flood of made-up ones costs little."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from scenes.directory import Rows, Running, running

from core.database import Access
from embedded.database import Database
from sidecar.directory.errors import Refused

Eventually = Callable[..., Awaitable[Any]]


async def test_a_token_is_known_by_the_feed_and_forgotten_when_it_is_deleted(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    await rows.domain("shop.test", "verified")
    authorization = await rows.challenge("shop.test", "token-1")
    await eventually(lambda: sidecar.service.challenges.lookup("token-1") == authorization)
    await rows.connection.execute("DELETE FROM challenges WHERE token = 'token-1'")
    await eventually(lambda: sidecar.service.challenges.lookup("token-1") is None)
    assert sidecar.service.challenges.loads == 0


async def test_a_token_expires_by_itself(rows: Rows, sidecar: Running, eventually: Eventually) -> None:
    await rows.domain("shop.test", "verified")
    await rows.challenge("shop.test", "brief", timedelta(seconds=0.5))
    await eventually(lambda: sidecar.service.challenges.lookup("brief"))
    await eventually(lambda: sidecar.service.challenges.lookup("brief") is None)
    assert len(sidecar.service.challenges) == 0


async def test_tokens_of_before_are_known_after_a_start_also_from_a_snapshot(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domain("shop.test", "verified")
    authorization = await rows.challenge("shop.test", "token-1")
    await rows.challenge("shop.test", "expired", timedelta(seconds=-1))
    for reloads in (1, 0):
        async with running(database.sidecar_dsn, state_dir) as sidecar:
            await eventually(lambda: sidecar.feed.reads > 0)
            assert sidecar.service.challenges.lookup("token-1") == authorization
            assert sidecar.service.challenges.lookup("expired") is None
            assert sidecar.feed.intake.reloads == reloads
            assert sidecar.service.challenges.loads == 0
    assert b"token-1" not in (state_dir / "directory.snapshot").read_bytes()


async def test_a_token_that_is_not_known_yet_is_read_once_for_all_who_ask(
    rows: Rows, database: Database, state_dir: Path
) -> None:
    """The feed never runs here: the sidecar that the CA asks may be the one that was not told yet."""
    await rows.domain("shop.test", "verified")
    authorization = await rows.challenge("shop.test", "token-1")
    async with running("postgresql://nobody@127.0.0.1:1/none", state_dir) as deaf:
        deaf.service.postgres._access = Access(database.sidecar_dsn)
        challenges = deaf.service.challenges
        found = await asyncio.gather(*(challenges.load("token-1") for _ in range(50)))
        assert set(found) == {authorization}
        assert challenges.loads == 1
        assert challenges.lookup("token-1") == authorization


async def test_a_token_that_does_not_exist_is_asked_for_once_a_second_and_the_feed_ends_that(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    challenges = sidecar.service.challenges
    await rows.domain("shop.test", "verified")
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    for _ in range(100):
        assert await challenges.load("token-1") is None
    assert challenges.loads <= 2
    authorization = await rows.challenge("shop.test", "token-1")
    await eventually(lambda: challenges.lookup("token-1") == authorization)


async def test_what_can_be_no_token_costs_nothing(sidecar: Running) -> None:
    before = sidecar.service.postgres.statements.sent
    for token in ("", "a/b", "x" * 257, "tökén", "a b", "a%00", "=" * 43):
        assert await sidecar.service.challenges.load(token) is None
    assert sidecar.service.postgres.statements.sent == before


async def test_a_flood_of_made_up_tokens_spends_its_own_small_budget(
    database: Database, state_dir: Path, eventually: Eventually
) -> None:
    async with running(database.sidecar_dsn, state_dir, misses_per_second=100) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        started = time.monotonic()
        results = await asyncio.gather(
            *(sidecar.service.challenges.load(f"made-up-{n}") for n in range(1000)), return_exceptions=True
        )
        allowed = 10 + 10 * (time.monotonic() - started) + 2
        assert sum(isinstance(result, Refused) for result in results) >= 1000 - allowed
        assert sidecar.service.challenges.loads <= allowed
        assert sidecar.service.source.refused == 0


async def test_a_key_authorization_is_in_no_text_of_ours(rows: Rows, sidecar: Running, eventually: Eventually) -> None:
    await rows.domain("shop.test", "verified")
    authorization = await rows.challenge("shop.test", "token-1")
    await eventually(lambda: sidecar.service.challenges.lookup("token-1"))
    assert authorization not in repr(sidecar.service.challenges._known.get("token-1"))
