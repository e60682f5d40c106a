"""The resource /admin/services: the upstream services that requests are sent to."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.requests import Admin, known_name, new_name, tagged
from api.admin.upstreams import ServiceRecord
from api.body import read_object
from api.conditions import Condition
from api.problems import Problem
from api.representation import timestamp
from core.service import Service, ServiceError


class ServicesResource:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    async def list(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        return JSONResponse({"data": [service_of(one) for one in await upstreams.services.all(caller)]})

    async def show(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        found = await upstreams.services.find(caller, known_name(request, "service_not_found"))
        return tagged(service_of(found), found.tag)

    async def put(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        name, condition = new_name(request, "service"), Condition.of(request)
        try:
            service = Service.from_json(name, await read_object(request))
        except ServiceError as error:
            raise Problem.of(error) from None
        record, created = await upstreams.services.put(caller, service, condition)
        return tagged(service_of(record), record.tag, created=created)

    async def delete(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request)
        await upstreams.services.delete(caller, known_name(request, "service_not_found"), Condition.of(request))
        return Response(status_code=204)


def service_of(record: ServiceRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "spec": dict(record.spec),
        "chosenBy": {"tenants": record.tenants, "domains": record.domains},
        "createdAt": timestamp(record.created_at),
        "updatedAt": timestamp(record.updated_at),
    }
