"""The resource /admin/trust: bundles of the certificate authorities that upstream services are trusted by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.requests import Admin, known_name, new_name, tagged
from api.admin.upstreams import TrustFacts, TrustRecord
from api.body import check_content_type, members, read
from api.conditions import Condition
from api.problems import Problem
from api.representation import timestamp
from core.trust import MAX_SIZE, Authority, TrustBundle, TrustError

MAX_BODY = MAX_SIZE + MAX_SIZE // 8  # a line break of 65 characters is two in JSON


class TrustResource:
    def __init__(self, admin: Admin, now: Callable[[], datetime]) -> None:
        self._admin = admin
        self._now = now

    async def list(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        found = await upstreams.trust.all(caller)
        return await asyncio.to_thread(lambda: JSONResponse({"data": list(map(facts_of, found))}))

    async def show(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        found = await upstreams.trust.find(caller, known_name(request, "trust_not_found"))
        return tagged(trust_of(found), found.tag)

    async def put(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        name, condition = new_name(request, "trust"), Condition.of(request)
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        body = members(await read(request, MAX_BODY), {"pem": str})
        try:
            bundle = await asyncio.to_thread(TrustBundle.parse, body["pem"], self._now())
        except TrustError as error:
            raise Problem.of(error, pointer="/pem") from None
        record, created = await upstreams.trust.put(caller, name, bundle, condition)
        return tagged(trust_of(record), record.tag, created=created)

    async def delete(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        await upstreams.trust.delete(caller, known_name(request, "trust_not_found"), Condition.of(request))
        return Response(status_code=204)


def facts_of(facts: TrustFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "authorities": [_authority(one) for one in facts.authorities],
        "usedBy": list(facts.services),
        "createdAt": timestamp(facts.created_at),
        "updatedAt": timestamp(facts.updated_at),
    }


def trust_of(record: TrustRecord) -> dict[str, Any]:
    return {**facts_of(record.facts), "pem": record.pem}


def _authority(authority: Authority) -> dict[str, Any]:
    return {
        "subject": authority.subject,
        "serial": authority.serial,
        "fingerprint": authority.fingerprint,
        "notBefore": timestamp(authority.not_before),
        "notAfter": timestamp(authority.not_after),
    }
