"""The resources /admin/tenants/{id}/service and /admin/domains/{id}/service: which service requests are sent to."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.requests import Admin, tenant_id
from api.admin.upstreams import Choice, UnknownReference
from api.body import read_json, shown
from api.caller import domain_id
from api.representation import timestamp
from core.service import is_name


class ChoicesResource:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    async def show_tenant(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        return JSONResponse(choice_of(await upstreams.choices.of_tenant(caller, tenant_id(request))))

    async def show_domain(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        return JSONResponse(choice_of(await upstreams.choices.of_domain(caller, domain_id(request))))

    async def put_tenant(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        tenant, service = tenant_id(request), await _service(request)
        return JSONResponse(choice_of(await upstreams.choices.put_tenant(caller, tenant, service)))

    async def put_domain(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        domain, service = domain_id(request), await _service(request)
        return JSONResponse(choice_of(await upstreams.choices.put_domain(caller, domain, service)))

    async def delete_tenant(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        await upstreams.choices.delete_tenant(caller, tenant_id(request))
        return Response(status_code=204)

    async def delete_domain(self, request: Request) -> Response:
        caller, upstreams = await self._admin.begin(request, tagged=False)
        await upstreams.choices.delete_domain(caller, domain_id(request))
        return Response(status_code=204)


async def _service(request: Request) -> str:
    """Raises Problem, UnknownReference."""
    name = (await read_json(request, ("service",)))["service"]
    if not is_name(name):
        raise UnknownReference("service_unknown", shown(name), "/service")
    return name


def choice_of(choice: Choice) -> dict[str, Any]:
    return {
        "tenant": str(choice.tenant_id),
        "domain": None if choice.domain_id is None else str(choice.domain_id),
        "service": choice.service,
        "updatedAt": None if choice.updated_at is None else timestamp(choice.updated_at),
    }
