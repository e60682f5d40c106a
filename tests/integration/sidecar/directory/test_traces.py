"""Changes that belong to a trace are spans of the sidecar, and nothing of it holds the feed up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from scenes.directory import Rows, running
from scenes.traced import PARENT, TRACE, Traced, traced

from embedded.database import Database
from sidecar.traces import MOST, REMEMBERED, Traces

Eventually = Callable[..., Awaitable[Any]]
SAY = "SELECT set_config('nameplate.trace', $1, true)"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def scene():
    with traced() as scene:
        yield scene


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sidecar(database: Database, state_dir: Path, eventually: Eventually, scene: Traced, clock: Clock):
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        sidecar.feed.intake.traces = Traces(scene.tracer, "sidecar-1", clock)
        yield sidecar


async def said(rows: Rows, work: Callable[[], Awaitable[Any]], traceparent: str = PARENT) -> None:
    async with rows.connection.transaction():
        await rows.connection.execute(SAY, traceparent)
        await work()


async def test_a_change_is_a_span_from_its_transaction_on_and_so_is_what_is_fetched_for_it(
    rows: Rows, sidecar, scene: Traced, eventually: Eventually, clock: Clock
) -> None:
    tenant = await rows.any_tenant()
    await said(rows, lambda: rows.domain("shop.example.com", "verified", tenant))
    await said(rows, lambda: rows.challenge("shop.example.com", "token-1"))
    await rows.domain("untraced.example.com")
    await eventually(lambda: sidecar.directory.peek("untraced.example.com"))
    traces = sidecar.feed.intake.traces
    for hostname in ("shop.example.com", "untraced.example.com"):
        with traces.fetching(hostname):
            pass
    clock.now += REMEMBERED + 1
    with traces.fetching("shop.example.com"):
        pass
    await eventually(lambda: len(scene.spans()) >= 3)  # the change is told of before its span ends
    domain, challenge, fetch = scene.spans()
    assert [span.name for span in (domain, challenge, fetch)] == ["apply domain", "apply challenge", "load certificate"]
    assert {span.trace_id for span in (domain, challenge, fetch)} == {TRACE}
    assert domain.attributes == {"nameplate.key": "shop.example.com", "nameplate.sidecar": "sidecar-1"}
    assert challenge.attributes == {"nameplate.sidecar": "sidecar-1"}, "a token is for its CA"
    assert domain.parent_id == PARENT.split("-")[2]
    assert fetch.parent_id == domain.id
    at = await rows.connection.fetchval(
        "SELECT extract(epoch FROM at)::float8 FROM changes WHERE trace IS NOT NULL LIMIT 1"
    )
    assert domain.start / 1e9 == pytest.approx(at, abs=0.001)


async def test_an_import_of_many_is_not_many_spans(rows: Rows, sidecar, scene: Traced, eventually: Eventually) -> None:
    names = [f"d{number}.example.com" for number in range(MOST + 1)]
    await said(rows, lambda: rows.domains(names))
    await eventually(lambda: sidecar.directory.peek(names[-1]))
    assert scene.spans() == []


async def test_of_an_older_schema_nothing_is_asked_and_everything_is_followed(
    rows: Rows, sidecar, superuser: asyncpg.Connection[Any], scene: Traced, eventually: Eventually, clock: Clock
) -> None:
    await superuser.execute("DROP VIEW change_traces_v1")
    failures = sidecar.feed.failures
    for name in ("a.example.com", "b.example.com"):
        await said(rows, lambda name=name: rows.domain(name))
        await eventually(lambda name=name: sidecar.directory.peek(name))
    assert (scene.spans(), sidecar.feed.failures) == ([], failures)
    # After the migration it goes on.
    await superuser.execute("CREATE VIEW change_traces_v1 AS SELECT id, trace FROM changes WHERE trace IS NOT NULL")
    await superuser.execute("ALTER VIEW change_traces_v1 OWNER TO nameplate_control")
    await superuser.execute("GRANT SELECT ON change_traces_v1 TO nameplate_sidecar")
    clock.now += 61
    await said(rows, lambda: rows.domain("c.example.com"))
    assert await eventually(scene.spans)


async def test_a_collector_that_is_away_holds_no_change_up(
    rows: Rows, sidecar, scene: Traced, eventually: Eventually
) -> None:
    scene.collector.status = 503
    await said(rows, lambda: rows.domain("shop.example.com"))
    await eventually(lambda: sidecar.directory.peek("shop.example.com"))
    assert sidecar.feed.last_error is None
