"""A name is explained from afar: two sidecars, each from its own memory, asked and answered by PostgreSQL alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from secrets import token_hex
from signal import Signals
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes import edge as edges
from scenes import overview as scene
from scenes.client_certificates import Authority
from scenes.edge import Edge
from scenes.edges import EdgeRows

from api.overview.explanations import Explanation, facts
from api.overview.overview import SidecarNotFound
from control.listener import Listener
from core.feed import SIDECARS_CHANNEL
from core.question import ANSWER_WITHIN, ANSWERS_CHANNEL, QUESTIONS_CHANNEL, Question
from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.vault_mount import VaultMount

HOST = "shop.mybrand.test"
Eventually = Callable[..., Any]


@pytest.fixture(scope="module")
def pair(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[list[Edge]]:
    """Two sidecars of one database, without an Envoy."""
    home = session_dir / "asked"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> list[Edge]:
        database = await database_template.copy("asked")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "asked")
        servers.push_async_callback(mount.remove)
        made = []
        for name in ("one", "two"):
            (home / name).mkdir(mode=0o711)
            edge = edges.create(home / name, database, mount, pki)
            edge.environment["NAMEPLATE_SIDECAR_ID"] = name
            made.append(edge)
        await made[0].add_default_certificate()
        await made[0].add_domain(await made[0].add_tenant("acme"), HOST)
        for edge in made:
            await edge.start_sidecar()
            servers.push_async_callback(edge.stop_sidecar)
        return made

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


@pytest.fixture
async def pool(pair: list[Edge]) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(pair[0].database.control_dsn, min_size=0, max_size=4) as pool:
        yield pool


@pytest.fixture
async def watched(pair: list[Edge], pool: asyncpg.Pool[Any], eventually: Eventually) -> AsyncIterator[scene.Watched]:
    """A replica of control that has heard of both."""
    watched = scene.watched(pool)
    heard = {SIDECARS_CHANNEL: watched.propagation.heard, ANSWERS_CHANNEL: watched.overview.explanations.heard}
    connected = asyncio.Event()
    listening = asyncio.create_task(Listener(pair[0].database.control_dsn, heard, connected.set).run())
    await connected.wait()
    await pair[0].add_tenant(f"news-{token_hex(4)}")  # which both say at once that they have read
    await eventually(lambda: len(watched.overview.sidecars.expected()) == 2, timeout=15)
    yield watched
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def ask(watched: scene.Watched, host: str = HOST, sidecar: str | None = None, **more: Any) -> Explanation:
    return await watched.overview.explain(scene.ROOT, host, more.get("sni", host), more.get("path", "/"), sidecar)


async def test_each_says_what_its_own_administration_would(pair: list[Edge], watched: scene.Watched) -> None:
    begun = monotonic()
    explanation = await ask(watched)
    assert [(one.sidecar, one.state) for one in explanation.sidecars] == [("one", "answered"), ("two", "answered")]
    assert monotonic() - begun < ANSWER_WITHIN  # nobody is waited for once all have answered
    for edge, one in zip(pair, explanation.sidecars, strict=True):
        assert one.answer is not None
        said = (await edge.admin(f"/explain?host={HOST}")).json()
        for section in ("asked", "served", "why", "row", "decisions", "certificate", "lane"):
            assert one.answer[section] == said[section]
    assert not any(fact.differs for fact in facts(explanation.sidecars))
    fleet = await watched.overview.fleet(scene.ROOT)
    assert [(one.id, one.live, one.answers) for one in fleet.sidecars] == [("one", True, True), ("two", True, True)]


async def test_who_asks_is_in_the_audit_and_one_alone_can_be_asked(
    watched: scene.Watched, pool: asyncpg.Pool[Any]
) -> None:
    explanation = await ask(watched, "nobody.test", sidecar="two", path="/x")
    (one,) = explanation.sidecars
    assert (one.sidecar, one.state) == ("two", "answered")
    assert one.answer is not None
    assert one.answer["served"] is False
    row = await pool.fetchrow("SELECT actor, detail FROM audit WHERE action = 'explain' ORDER BY id DESC LIMIT 1")
    assert row["actor"] == "operator:root@platform"
    assert json.loads(row["detail"]) == {"host": "nobody.test", "sni": "nobody.test", "path": "/x", "sidecar": "two"}
    with pytest.raises(SidecarNotFound):
        await ask(watched, sidecar="three")


async def test_an_answer_of_several_notifications_is_put_together(
    pair: list[Edge], watched: scene.Watched, eventually: Eventually
) -> None:
    edge = pair[0]
    await edge.add_domain(await edge.add_tenant("large"), "large.test")
    many = "".join(Authority.root(token_hex(30), number).pem for number in range(100, 280))
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        rows = EdgeRows(connection)
        await connection.execute("INSERT INTO trust (name, pem) VALUES ('many', $1)", many)
        await rows.service("default", tls={"names": ["upstream.test"], "trust": "many"})
    finally:
        await connection.close()

    async def known() -> bool:
        said = (await edge.admin("/explain?host=large.test")).json()
        return "tls" in (said["service"] or {}) and len(said["service"]["tls"]["trust"]["cas"]) == 180

    await eventually(known, timeout=15)
    heard: list[str] = []
    listening = await asyncpg.connect(edge.database.control_dsn)
    try:
        await listening.add_listener(ANSWERS_CHANNEL, lambda *given: heard.append(str(given[-1])))
        explanation = await ask(watched, "large.test", sidecar="one")
    finally:
        await listening.close()
    (one,) = explanation.sidecars
    assert one.answer is not None
    assert len(one.answer["service"]["tls"]["trust"]["cas"]) == 180
    assert len(heard) > 1
    assert all(len(payload.encode()) < 8000 for payload in heard)


async def test_a_sidecar_that_is_stopped_is_named_after_the_deadline(pair: list[Edge], watched: scene.Watched) -> None:
    process = pair[1].running
    process.signal(Signals.SIGSTOP)
    try:
        explanation = await ask(watched)
        assert {one.sidecar: one.state for one in explanation.sidecars} == {"one": "answered", "two": "silent"}
        assert explanation.waited >= ANSWER_WITHIN * 0.9
    finally:
        process.signal(Signals.SIGCONT)


async def test_a_flood_of_questions_is_dropped_and_checks_go_on(
    pair: list[Edge], watched: scene.Watched, pool: asyncpg.Pool[Any], eventually: Eventually
) -> None:
    heard: list[str] = []
    listening = await asyncpg.connect(pair[0].database.control_dsn)
    try:
        await listening.add_listener(ANSWERS_CHANNEL, lambda *given: heard.append(str(given[-1])))
        for number in range(300):
            question = Question(UUID(int=number + 1), HOST, HOST, "/", "one")
            await pool.execute("SELECT pg_notify($1, $2)", QUESTIONS_CHANNEL, question.to_payload())
        for rubbish in ("", "{}", "[" * 5000, '{"id": "x"}', "null"):
            await pool.execute("SELECT pg_notify($1, $2)", QUESTIONS_CHANNEL, rubbish)
        assert (await pair[0].admin("/readyz")).status_code == 200
        answered = {json.loads(payload)["id"] for payload in heard}
        assert len(answered) < 100
    finally:
        await listening.close()

    async def answers() -> bool:
        return {one.state for one in (await ask(watched)).sidecars} == {"answered"}

    await eventually(answers, timeout=20)


async def test_the_listening_connection_may_be_cut(
    pair: list[Edge], watched: scene.Watched, eventually: Eventually
) -> None:
    superuser = await asyncpg.connect(pair[0].database.superuser_dsn)
    try:
        await superuser.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
    finally:
        await superuser.close()

    async def answers() -> bool:
        return {one.state for one in (await ask(watched)).sidecars} == {"answered"}

    await eventually(answers, timeout=30)


async def test_a_question_costs_the_directory_no_look_up(pair: list[Edge], watched: scene.Watched) -> None:
    """Nothing of it is counted as traffic, and nothing is loaded: the path of a check is as it was."""
    before = await pair[0].metrics()
    for host in (HOST, "nobody.test", "x" * 200):
        await ask(watched, host, sidecar="one")
    after = await pair[0].metrics()
    counted = [name for name in after if "check" in name or "lookup" in name or "directory_load" in name]
    assert counted
    assert {name: after[name] for name in counted} == {name: before.get(name) for name in counted}
