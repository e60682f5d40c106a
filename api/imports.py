"""POST /domains/import: many hostnames in one call, and a report with an answer for each line."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.body import read_list, type_name
from api.caller import Callers, raw_query
from api.idempotency import HEADER as IDEMPOTENCY_HEADER
from api.idempotency import REPLAYED_HEADER, idempotency
from api.instructions import Target
from api.names import Names
from api.problems import Problem
from api.query import parse_query
from api.representation import registration
from api.schemas.domains import MAX_HOSTNAMES
from api.service import DomainExists, Domains, DomainsError, Reply
from core.domain import Domain
from core.errors import NameplateError

OPERATION_IMPORT = "POST /domains/import"
# A thousand hostnames of 253 characters, with their quotes, fit twice.
MAX_IMPORT_BODY = 512 * 1024
# Parsed without a pause for others: a few milliseconds.
LINES_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """`number`: from 1. `hostname`: in normal form, if it has one. `problem`: why it is not even asked for."""

    number: int
    hostname: str | None
    problem: Problem | None = None


class ImportsResource:
    def __init__(self, domains: Domains, callers: Callers, names: Names, target: Target) -> None:
        self._domains = domains
        self._callers = callers
        self._names = names
        self._target = target

    async def add(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        given = await read_list(request, "hostnames", MAX_HOSTNAMES, MAX_IMPORT_BODY)
        lines = await self._lines(given)
        meant = [line.hostname or json.dumps(value) for line, value in zip(lines, given, strict=True)]
        key = idempotency(request.headers.getlist(IDEMPOTENCY_HEADER), OPERATION_IMPORT, *meant)
        wanted = [line.hostname for line in lines if line.hostname is not None and line.problem is None]
        path = request.scope["path"].removesuffix("/import")

        def reply(answers: Sequence[Domain | DomainsError]) -> Reply:
            report = self._report(lines, dict(zip(wanted, answers, strict=True)), path)
            return Reply(json.dumps(report, separators=(",", ":")), path)

        added = await self._domains.add_many(caller, wanted, key, reply)
        headers = {REPLAYED_HEADER: "true"} if added.replayed else None
        return Response(added.reply.body, 200, headers, "application/json")

    async def _lines(self, given: Sequence[Any]) -> Sequence[Line]:
        lines: list[Line] = []
        first: dict[str, int] = {}
        for number, value in enumerate(given, 1):
            line = self._line(number, value, first)
            if line.hostname is not None:
                first.setdefault(line.hostname, number)
            lines.append(line)
            if number % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return lines

    def _line(self, number: int, value: Any, first: Mapping[str, int]) -> Line:
        pointer = f"/hostnames/{number - 1}"
        if not isinstance(value, str):
            detail = f"A hostname must be a string, not {type_name(value)}."
            return Line(number, None, Problem("wrong_type", detail, pointer=pointer))
        try:
            hostname = self._names.parse(value, pointer)
        except Problem as problem:
            return Line(number, None, problem)
        if hostname in first:
            detail = f"Line {first[hostname]} has this hostname already."
            return Line(number, hostname, Problem("hostname_repeated", detail, pointer=pointer))
        return Line(number, hostname)

    def _report(
        self, lines: Sequence[Line], answers: Mapping[str, Domain | DomainsError], path: str
    ) -> Mapping[str, Any]:
        shown = [self._shown(line, line.problem or answers[line.hostname or ""], path) for line in lines]
        results = Counter(line["result"] for line in shown)
        return {
            "created": results["created"],
            "existing": results["exists"],
            "failed": results["error"],
            "lines": shown,
        }

    def _shown(self, line: Line, answer: Domain | NameplateError, path: str) -> dict[str, Any]:
        begun = {"line": line.number, "hostname": line.hostname}
        if isinstance(answer, Domain):
            domain = f"{path}/{answer.id}"
            return {**begun, "result": "created", "domain": domain, "registration": registration(answer, self._target)}
        if isinstance(answer, DomainExists):
            return {**begun, "result": "exists", "domain": f"{path}/{answer.domain_id}"}
        return {**begun, "result": "error", "problem": _problem(answer, f"/hostnames/{line.number - 1}").document()}


def _problem(answer: NameplateError, pointer: str) -> Problem:
    if isinstance(answer, Problem):
        return answer
    retry_after = getattr(answer, "retry_after", None)
    later = {} if retry_after is None else {"retryAfter": retry_after}
    return Problem.of(answer, pointer=pointer, **later)
