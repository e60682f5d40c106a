"""What sidecars say of a name, and do not: heard by NOTIFY as control hears it, from sidecars that the test plays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.overview import ROOT, Watched, sighted

from api.overview.explanations import Explanation
from api.overview.overview import ExplainTooMany, SidecarNotFound
from api.service import Unavailable
from control.listener import Listener
from control.overview import explain
from core.feed import SIDECARS_CHANNEL
from core.question import ANSWERS_CHANNEL, QUESTIONS_CHANNEL, Piece, Question, QuestionUnfit, in_pieces
from embedded.database import Database

Say = Callable[[Question], list[str]]
ANSWER = {"explanation": {"served": True, "noise": [uuid4().hex for _ in range(2_000)]}}  # several pieces


class Played:
    """A sidecar: what it says to a question is told to it in advance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.say: Say = lambda question: [piece.to_payload() for piece in in_pieces(question.id, name, ANSWER)]
        self.asked: list[Question] = []

    async def run(self, database: Database) -> None:
        connection = await asyncpg.connect(database.sidecar_dsn)
        waiting: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener(QUESTIONS_CHANNEL, lambda *given: waiting.put_nowait(str(given[-1])))
        try:
            while True:
                question = Question.from_payload(await waiting.get())
                self.asked.append(question)
                for payload in self.say(question):
                    await connection.execute("SELECT pg_notify($1, $2)", ANSWERS_CHANNEL, payload)
        finally:
            connection.terminate()


@pytest.fixture
async def played(
    database: Database, watched: Watched, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> AsyncIterator[dict[str, Played]]:
    """Three that are heard, of which `old` is of an older release."""
    sidecars = {name: Played(name) for name in ("one", "two", "old")}
    sidecars["old"].say = lambda _question: []
    heard = {SIDECARS_CHANNEL: watched.propagation.heard, ANSWERS_CHANNEL: watched.overview.explanations.heard}
    listener = Listener(database.control_dsn, heard, lambda: None)
    tasks = [asyncio.create_task(listener.run())]
    tasks += [asyncio.create_task(one.run(database)) for one in sidecars.values()]
    for name in sidecars:
        watched.propagation.heard(sighted(name, 7, answers=name != "old"))

    async def listening() -> bool:
        for one in sidecars.values():
            one.asked.clear()
        await watched.overview.explain(ROOT, "a.test", "", "/", None)
        return all(one.asked for one in sidecars.values())

    monkeypatch.setattr(explain, "ANSWER_WITHIN", 0.3)
    await eventually(listening)
    watched.overview.explanations._begun.clear()
    monkeypatch.setattr(explain, "ANSWER_WITHIN", 2.0)
    yield sidecars
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def ask(watched: Watched, sidecar: str | None = None) -> Explanation:
    return await watched.overview.explain(ROOT, "shop.test", "shop.test", "/", sidecar)


def states(explanation: Explanation) -> dict[str, str]:
    return {one.sidecar: one.state for one in explanation.sidecars}


async def test_all_that_can_answer_are_waited_for_and_the_older_one_is_named(
    watched: Watched, played: dict[str, Played]
) -> None:
    explanation = await ask(watched)
    assert states(explanation) == {"old": "older", "one": "answered", "two": "answered"}
    assert explanation.waited < 1.9
    assert all(one.answer == ANSWER["explanation"] for one in explanation.sidecars if one.answer)


async def test_pieces_come_in_any_order_and_twice(watched: Watched, played: dict[str, Played]) -> None:
    def shuffled(question: Question) -> list[str]:
        pieces = [piece.to_payload() for piece in in_pieces(question.id, "one", ANSWER)]
        assert len(pieces) > 2
        return [*pieces[::-1], *pieces]

    played["one"].say = shuffled
    assert states(await ask(watched, "one")) == {"one": "answered"}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (lambda question: [Piece(question.id, "one", 0, 1, "no base64!").to_payload()], "refused"),
        (lambda question: [Piece(question.id, "one", 0, 1, "AAAA").to_payload()], "refused"),
        (lambda question: [one.to_payload() for one in in_pieces(question.id, "one", {})], "refused"),
        (lambda question: [one.to_payload() for one in in_pieces(question.id, "one", {"error": 7})], "refused"),
        (
            lambda question: [
                one.to_payload()
                for one in in_pieces(question.id, "one", {"error": {"code": "too_many_loads", "message": "Later."}})
            ],
            "refused",
        ),
    ],
)
async def test_whatever_one_says_the_others_are_shown(
    watched: Watched, played: dict[str, Played], said: Say, state: str
) -> None:
    played["one"].say = said
    explanation = await ask(watched)
    assert states(explanation) == {"old": "older", "one": state, "two": "answered"}
    (one,) = [found for found in explanation.sidecars if found.sidecar == "one"]
    assert (one.error is not None) == (state == "refused")


async def test_what_is_no_whole_answer_is_none(watched: Watched, played: dict[str, Played]) -> None:
    def said(question: Question) -> list[str]:
        whole = [one.to_payload() for one in in_pieces(question.id, "one", ANSWER)]
        strange = [Piece(question.id, "one", 0, 1, ""), Piece(uuid4(), "one", 0, 1, "")]
        return [*whole[1:], *(one.to_payload() for one in strange), "rubbish", "{}", "[]", '{"id": 1}', "[" * 4000]

    played["one"].say = said
    assert states(await ask(watched)) == {"old": "older", "one": "silent", "two": "answered"}


async def test_where_nobody_can_answer_nobody_is_waited_for(watched: Watched, played: dict[str, Played]) -> None:
    explanation = await ask(watched, "old")
    assert states(explanation) == {"old": "older"}
    assert explanation.waited < 1.9


async def test_one_that_nobody_has_heard_of_is_shown_when_it_answers(
    watched: Watched, played: dict[str, Played]
) -> None:
    """It has just started: its first word was not heard yet."""
    played["one"].say = lambda question: [
        piece.to_payload() for name in ("new", "one") for piece in in_pieces(question.id, name, ANSWER)
    ]
    assert states(await ask(watched))["new"] == "answered"
    assert "new" not in states(await ask(watched, "one"))


async def test_nothing_is_kept_of_a_question_that_is_over(watched: Watched, played: dict[str, Played]) -> None:
    await ask(watched)
    explanations = watched.overview.explanations
    assert explanations._asked == {}
    explanations.heard(Piece(UUID(int=7), "one", 0, 1, "").to_payload())
    assert explanations._asked == {}


async def test_answers_cannot_fill_the_memory(
    watched: Watched, played: dict[str, Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "MOST_ANSWERS", 3)
    monkeypatch.setattr(explain, "LARGEST", 30_000)
    played["two"].say = lambda question: [
        Piece(question.id, f"made-up-{number}", part, 90, "x" * 5000).to_payload()
        for number in range(10)
        for part in range(5)
    ]
    explanation = await ask(watched)
    assert set(states(explanation)) <= {"old", "one", "two"}


async def test_answers_that_unpack_to_much_cannot_fill_it_either(
    watched: Watched, played: dict[str, Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "LARGEST", 20_000)
    packed = {"explanation": {"served": True, "noise": "a" * 15_000}}  # a few bytes
    small = {"explanation": {"served": True}}
    played["one"].say = lambda question: [piece.to_payload() for piece in in_pieces(question.id, "one", packed)]
    played["two"].say = lambda question: [piece.to_payload() for piece in in_pieces(question.id, "two", small)]
    found = {one.sidecar: one for one in (await watched.overview.explain(ROOT, "a.test", "", "/", None)).sidecars}
    assert found["one"].state == "refused" and (found["one"].error or {})["code"] == "answer_unreadable"
    assert found["two"].answer == {"served": True}


async def test_they_are_asked_only_so_often(watched: Watched, played: dict[str, Played]) -> None:
    for _ in range(explain.PER_MINUTE):
        watched.overview.explanations._begin()
    with pytest.raises(ExplainTooMany) as too_many:
        await ask(watched)
    assert 1 <= too_many.value.retry_after <= 60
    assert not played["one"].asked[1:]


async def test_only_so_many_questions_are_waited_for(watched: Watched, played: dict[str, Played]) -> None:
    for one in played.values():
        one.say = lambda _question: []
    answers = await asyncio.gather(*(ask(watched) for _ in range(explain.AT_ONCE + 3)), return_exceptions=True)
    assert sum(isinstance(answer, ExplainTooMany) for answer in answers) == 3


async def test_what_cannot_be_asked(watched: Watched, played: dict[str, Played]) -> None:
    with pytest.raises(SidecarNotFound):
        await ask(watched, "none")
    face = "\N{GRINNING FACE}"
    for host, path in (("a" * 301, "/"), ("a", "/" + "a" * 500), (face * 300, "/" + face * 100)):
        with pytest.raises(QuestionUnfit):
            await watched.overview.explain(ROOT, host, host, path, None)


async def test_who_asks_is_written_down_before_anybody_is_asked(
    watched: Watched, played: dict[str, Played], control: asyncpg.Connection[Any]
) -> None:
    await ask(watched, "one")
    rows = await control.fetch("SELECT actor, hostname, detail FROM audit WHERE action = 'explain'")
    assert {row["actor"] for row in rows} == {"operator:root@platform"}
    assert json.loads(rows[-1]["detail"])["sidecar"] == "one"


async def test_without_a_database_nobody_waits(watched: Watched, database: Database) -> None:
    pool = watched.overview.presence._pool
    await pool.close()
    with pytest.raises(Unavailable):
        await ask(watched)
