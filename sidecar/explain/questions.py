"""Questions from afar (core.question): heard on the feed's connection, answered from memory over the loads' pool.

heard (bounded, at a bounded pace) → explain → in pieces → NOTIFY

Checks share the event loop, and an explanation takes about a millisecond of it: so what comes in a flood is dropped,
before it is even read. Nothing is loaded for a question from afar.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import structlog

from core.errors import NameplateError
from core.question import ANSWER_WITHIN, ANSWERS_CHANNEL, in_pieces
from core.question import Question as Asked
from sidecar.directory.budget import Budget
from sidecar.directory.postgres import AWAY
from sidecar.explain.question import Question

A_SECOND: Final = 5.0  # questions; each is of an operator who waits for the answer
WAITING: Final = 16

log = structlog.stdlib.get_logger(__name__)


class Explain(Protocol):
    """sidecar.explain.explain"""

    async def answer(self, question: Question) -> dict[str, Any]: ...


class Speaker(Protocol):
    async def tell(self, channel: str, payload: str) -> None: ...


class Postgres(Protocol):
    """sidecar.directory.postgres"""

    def pooled(self) -> AbstractAsyncContextManager[Speaker]: ...


class Questions:
    """`sidecar`: this process's name. `heard` is called on the loop, with whatever anybody has notified."""

    def __init__(self, sidecar: str, explain: Explain, postgres: Postgres, budget: Budget | None = None) -> None:
        self._sidecar = sidecar
        self._explain = explain
        self._postgres = postgres
        self._budget = budget or Budget(A_SECOND)
        self._waiting: deque[tuple[float, str]] = deque()
        self._news = asyncio.Event()

    def heard(self, payload: str) -> None:
        if len(self._waiting) >= WAITING or not self._budget.take():
            return
        self._waiting.append((asyncio.get_running_loop().time(), payload))
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                heard_at, payload = self._waiting.popleft()
                if asyncio.get_running_loop().time() - heard_at < ANSWER_WITHIN:
                    await self._answer(payload)

    async def _answer(self, payload: str) -> None:
        try:
            asked = Asked.from_payload(payload)
        except ValueError:
            log.warning("question_unreadable", length=len(payload))
            return
        if asked.sidecar not in (None, self._sidecar):
            return
        said = await self._explained(asked)
        try:
            async with asyncio.timeout(ANSWER_WITHIN), self._postgres.pooled() as speaker:
                for piece in in_pieces(asked.id, self._sidecar, said):
                    await speaker.tell(ANSWERS_CHANNEL, piece.to_payload())
        except AWAY as error:
            log.warning("answer_not_told", error=type(error).__name__)

    async def _explained(self, asked: Asked) -> dict[str, Any]:
        try:
            question = Question(asked.host, asked.sni, asked.path.encode("utf-8", "surrogateescape"))
            return {"explanation": await self._explain.answer(question)}
        except NameplateError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except Exception:  # a fault of ours must not end the answering of others; it is in the log
            log.exception("question_failed")
            return {"error": {"code": "explain_failed", "message": "The sidecar could not explain it; see its log."}}
