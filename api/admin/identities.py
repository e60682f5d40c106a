"""The resource /admin/identities: client certificates that are shown to upstream services. Keys are never read back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.requests import Admin, known_name, new_name, tagged
from api.admin.upstreams import IdentityRecord
from api.body import check_content_type, members, read
from api.certificates import MAX_BODY, MAX_DRAINED
from api.conditions import Condition
from api.problems import Problem
from api.representation import timestamp
from core.upload import UploadError, read_upload


class IdentitiesResource:
    def __init__(self, admin: Admin, now: Callable[[], datetime]) -> None:
        self._admin = admin
        self._now = now

    async def list(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        return JSONResponse({"data": [identity_of(one) for one in await upstreams.identities.all(caller)]})

    async def show(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        found = await upstreams.identities.find(caller, known_name(request, "identity_not_found"))
        return tagged(identity_of(found), found.tag)

    async def put(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        name, condition = new_name(request, "identity"), Condition.of(request)
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        raw = await read(request, MAX_BODY, "upload_too_large", MAX_DRAINED)
        body = members(raw, {"certificate": str, "privateKey": str})
        try:
            certificate = read_upload(body["certificate"], body["privateKey"], self._now(), "client")
        except UploadError as error:
            raise Problem.of(error) from None
        record, created = await upstreams.identities.put(caller, name, certificate, condition)
        return tagged(identity_of(record), record.tag, created=created)

    async def delete(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        await upstreams.identities.delete(caller, known_name(request, "identity_not_found"), Condition.of(request))
        return Response(status_code=204)


def identity_of(record: IdentityRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "serial": record.serial,
        "issuer": record.issuer,
        "fingerprint": record.fingerprint,
        "names": list(record.names),
        "notBefore": timestamp(record.not_before),
        "notAfter": timestamp(record.not_after),
        "usedBy": list(record.services),
        "createdAt": timestamp(record.created_at),
        "updatedAt": timestamp(record.updated_at),
    }
