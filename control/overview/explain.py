"""Any name explained by the sidecars that serve it: asked and answered by NOTIFY (core.question).

ask → audited and notified, in one transaction → pieces heard, put together → all have answered, or time is up

A sidecar that does not answer is named: because it is of an older release, or because nothing was heard. Who may NOTIFY
could make answers up, as he could sightings; what he cannot is to fill this process's memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from time import monotonic
from uuid import UUID, uuid4

import structlog

from api.auth import Operator
from api.overview.explanations import Explained, Explanation
from api.overview.overview import ExplainTooMany, SidecarNotFound
from control.domains.tenancy import Connection
from control.services.transactions import Transactions, audit
from core.question import ANSWER_WITHIN, QUESTIONS_CHANNEL, Piece, Question, put_together

AT_ONCE = 8  # questions that this replica waits for
PER_MINUTE = 60  # of this replica; each is work for every sidecar
MOST_ANSWERS = 2_000  # to one question
LARGEST = 32_000_000  # characters of all answers to one, and bytes of them all unpacked

ASK = "SELECT now() AS at, pg_notify($1, $2)"

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Asked:
    """`expected`: those that should answer. `whole`: seconds after which an answer was complete."""

    expected: frozenset[str]
    asked_at: float
    pieces: dict[str, dict[int, str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    size: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def complete(self) -> bool:
        return bool(self.expected) and self.whole.keys() >= self.expected


class Explanations:
    """`heard` is the listener's callback. `expected`: the sidecars that are alive, and whether they take questions.

    `heard_all`: there are no others.
    """

    def __init__(
        self,
        transactions: Transactions,
        expected: Callable[[], Sequence[tuple[str, bool]]],
        heard_all: Callable[[], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._transactions = transactions
        self._expected = expected
        self._heard_all = heard_all
        self._clock = clock
        self._asked: dict[UUID, _Asked] = {}
        self._begun: list[float] = []

    def heard(self, payload: str) -> None:
        try:
            piece = Piece.from_payload(payload)
        except ValueError:
            log.warning("answer_unreadable", length=len(payload))
            return
        asked = self._asked.get(piece.question)
        if asked is None or asked.size + len(piece.text) > LARGEST:
            return  # another replica's, or over
        if piece.sidecar not in asked.pieces and len(asked.pieces) >= MOST_ANSWERS:
            return
        pieces = asked.pieces.setdefault(piece.sidecar, {})
        if piece.number in pieces or asked.sizes.setdefault(piece.sidecar, piece.of) != piece.of:
            return
        pieces[piece.number] = piece.text
        asked.size += len(piece.text)
        if len(pieces) == piece.of:
            asked.whole[piece.sidecar] = self._clock() - asked.asked_at
            asked.news.set()

    async def ask(self, caller: Operator, host: str, sni: str, path: str, sidecar: str | None) -> Explanation:
        """Raises SidecarNotFound, ExplainTooMany, QuestionUnfit, Unavailable."""
        live = dict(self._expected())
        if sidecar is not None and sidecar not in live:
            raise SidecarNotFound
        wanted = {sidecar: live[sidecar]} if sidecar is not None else live
        question = Question(uuid4(), host, sni, path, sidecar)
        payload = question.to_payload()
        self._begin()
        asked = _Asked(frozenset(name for name, answers in wanted.items() if answers), self._clock())
        self._asked[question.id] = asked
        try:
            at = await self._transactions.read(
                caller, lambda connection: _notify(connection, caller, question, payload)
            )
            asked.asked_at = self._clock()
            if asked.expected or not self._heard_all():
                await self._wait(asked)
        finally:
            del self._asked[question.id]
        waited = self._clock() - asked.asked_at
        names = sorted(wanted.keys() | (asked.whole.keys() if sidecar is None else set()))
        answers = await asyncio.to_thread(_all_explained, names, wanted, asked)
        return Explanation(host, sni, path, at, waited, answers)

    def _begin(self) -> None:
        """Raises ExplainTooMany."""
        now = self._clock()
        self._begun = [begun for begun in self._begun if begun > now - 60]
        if len(self._begun) >= PER_MINUTE:
            raise ExplainTooMany(max(1, ceil(self._begun[0] + 60 - now)))
        if len(self._asked) >= AT_ONCE:
            raise ExplainTooMany(ceil(ANSWER_WITHIN))
        self._begun.append(now)

    async def _wait(self, asked: _Asked) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                while not asked.complete:
                    await asked.news.wait()
                    asked.news.clear()
        except TimeoutError:
            return


async def _notify(connection: Connection, caller: Operator, question: Question, payload: str) -> datetime:
    """Told when the transaction commits, which writes down who has asked."""
    facts = {"host": question.host, "sni": question.sni, "path": question.path, "sidecar": question.sidecar}
    await audit(connection, caller, "explain", facts, hostname=question.host[:253])
    at: datetime = await connection.fetchval(ASK, QUESTIONS_CHANNEL, payload)
    return at


def _all_explained(names: Sequence[str], wanted: Mapping[str, bool], asked: _Asked) -> Sequence[Explained]:
    """Beside the loop: they may be large together. Nothing is heard for `asked` any more."""
    return [_explained(name, wanted, asked) for name in names]


def _explained(name: str, wanted: Mapping[str, bool], asked: _Asked) -> Explained:
    after = asked.whole.get(name)
    if after is None:
        return Explained(name, "silent" if wanted[name] else "older", None)
    try:
        # A few bytes may unpack to millions: each has its share.
        said = put_together(asked.pieces[name], LARGEST // len(asked.whole))
        answer = said.get("explanation")
        if isinstance(answer, dict):
            return Explained(name, "answered", after, answer)
        error = {member: str(said["error"][member]) for member in ("code", "message")}
        return Explained(name, "refused", after, error=error)
    except (ValueError, KeyError, TypeError):
        problem = {"code": "answer_unreadable", "message": "What it has said cannot be read."}
        return Explained(name, "refused", after, error=problem)
