"""The resource /notifications: where a tenant is told what happens to its domains, and what came of it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.body import check_content_type, members, read, read_nothing, type_name
from api.caller import Callers, delivery_id, raw_query
from api.endpoints import (
    DELIVERY_STATES,
    KINDS,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointKind,
    EndpointNotFound,
    Endpoints,
)
from api.identifiers import parse_uuid
from api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from api.problems import Problem
from api.query import parse_choice, parse_count, parse_query
from api.representation import optional_timestamp, timestamp


class NotificationsResource:
    """`endpoints`: None where notifications are not offered."""

    def __init__(self, endpoints: Endpoints | None, callers: Callers) -> None:
        self._offered = endpoints
        self._callers = callers

    @property
    def _endpoints(self) -> Endpoints:
        if self._offered is None:
            raise Problem("notifications_unavailable")
        return self._offered

    async def add(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        body = members(await read(request), {"kind": str, "address": str}, {"events": list})
        if body["kind"] not in KINDS:
            raise Problem("kind_unknown", f"An endpoint's kind is one of {', '.join(KINDS)}.", pointer="/kind")
        events = body.get("events")
        for number, event in enumerate(events or ()):
            if not isinstance(event, str):
                raise Problem(
                    "wrong_type", f"An event is a string, not {type_name(event)}.", pointer=f"/events/{number}"
                )
        kind = cast(EndpointKind, body["kind"])
        endpoint, secret = await self._endpoints.add(caller, kind, body["address"], events)
        shown = {**endpoint_of(endpoint), "secret": None if secret is None else secret.secret}
        headers = {"Location": f"{request.scope['path']}/{endpoint.id}", "Cache-Control": "no-store"}
        return JSONResponse(shown, 201, headers)

    async def list(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        found = await self._endpoints.all(caller)
        return JSONResponse({"data": [endpoint_of(endpoint) for endpoint in found]})

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return JSONResponse(endpoint_of(await self._endpoints.find(caller, endpoint_id(request))))

    async def delete(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await self._endpoints.delete(caller, endpoint_id(request))
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        made = await self._endpoints.rotate(caller, endpoint_id(request))
        until = optional_timestamp(made.previous_until)
        shown = {"secret": made.secret, "previousValidUntil": until}
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    async def test(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        return JSONResponse(delivery_of(await self._endpoints.test(caller, endpoint_id(request))), 202)

    async def deliveries(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parameters = parse_query(raw_query(request), ("limit", "state"))
        limit = parse_count(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        state = cast(DeliveryState | None, parse_choice(parameters, "state", DELIVERY_STATES))
        found = await self._endpoints.deliveries(caller, endpoint_id(request), state, limit)
        return JSONResponse({"data": [delivery_of(delivery) for delivery in found]})

    async def retry(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        which = delivery_id(request)
        return JSONResponse(delivery_of(await self._endpoints.retry(caller, endpoint_id(request), which)), 202)


def endpoint_of(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "kind": endpoint.kind,
        "address": endpoint.address,
        "events": None if endpoint.events is None else list(endpoint.events),
        "createdAt": timestamp(endpoint.created_at),
        "enabled": endpoint.disabled_at is None,
        "disabledAt": optional_timestamp(endpoint.disabled_at),
        "disabledCode": endpoint.disabled_code,
        "failingSince": optional_timestamp(endpoint.failing_since),
    }


def delivery_of(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": str(delivery.id),
        "messageId": f"msg_{delivery.id.hex}",
        "event": delivery.event,
        "domain": None if delivery.domain_id is None else str(delivery.domain_id),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "createdAt": timestamp(delivery.created_at),
        "settledAt": optional_timestamp(delivery.settled_at),
        "nextAttemptAt": optional_timestamp(delivery.due_at),
        "lastFailure": None if delivery.last_attempt is None else dict(delivery.last_attempt),
    }


def endpoint_id(request: Request) -> UUID:
    """Raises EndpointNotFound for what is no UUID in its one usual spelling."""
    found = parse_uuid(request.path_params["id"])
    if found is None:
        raise EndpointNotFound
    return found
