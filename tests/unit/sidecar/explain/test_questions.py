"""Questions from afar that no operator would ask: whatever a payload holds, the next question is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from core.question import Piece, put_together
from sidecar.explain.question import Question
from sidecar.explain.questions import Questions


class Postgres:
    """What it was told."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[Piece] = asyncio.Queue()

    @asynccontextmanager
    async def pooled(self) -> AsyncIterator[Postgres]:
        yield self

    async def tell(self, _channel: str, payload: str) -> None:
        self.pieces.put_nowait(Piece.from_payload(payload))


class Explain:
    async def answer(self, question: Question) -> dict[str, Any]:
        return {"host": question.host}


async def test_a_path_that_is_no_text_ends_nothing() -> None:
    postgres = Postgres()
    questions = Questions("one", Explain(), postgres)
    running = asyncio.create_task(questions.run())
    try:
        for number, path in enumerate((r"/\ud800", "/")):
            questions.heard(f'{{"id":"{UUID(int=number).hex}","host":"a.test","sni":"","path":"{path}"}}')
        async with asyncio.timeout(10):
            said = [put_together({0: (await postgres.pieces.get()).text}) for _ in range(2)]
    finally:
        running.cancel()
    assert said[0]["error"]["code"] == "explain_failed"
    assert said[1] == {"explanation": {"host": "a.test"}}
