"""The resource /domains/{id}/certificate: a tenant's own certificate, and what is shown of it and of the managed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.body import check_content_type, members, read
from api.caller import Callers, domain_id, raw_query
from api.problems import Problem
from api.query import parse_query
from api.representation import certificates
from api.uploads import Uploads

# The longest chain and key that core.upload reads, each of their line ends written with two characters, and some room.
MAX_BODY = 320 * 1024
# Somebody who sends an archive instead is told so, rather than cut off.
MAX_DRAINED = 16 * 1024 * 1024


class CertificatesResource:
    """`uploads`: None where they are not offered."""

    def __init__(self, uploads: Uploads | None, callers: Callers, now: Callable[[], datetime]) -> None:
        self._offered = uploads
        self._callers = callers
        self._now = now

    @property
    def _uploads(self) -> Uploads:
        if self._offered is None:
            raise Problem("uploads_unavailable")
        return self._offered

    async def put(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        domain, uploads = domain_id(request), self._uploads
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        raw = await read(request, MAX_BODY, "upload_too_large", MAX_DRAINED)
        body = members(raw, {"certificate": str, "privateKey": str})
        taken = await uploads.put(caller, domain, body["certificate"], body["privateKey"])
        return JSONResponse(certificates(taken.certificates, self._now()), 201 if taken.created else 200)

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return JSONResponse(certificates(await self._uploads.find(caller, domain_id(request)), self._now()))

    async def delete(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await self._uploads.delete(caller, domain_id(request))
        return Response(status_code=204)
