"""The resources /domains/{id}/client-auth and /consumers."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.body import check_content_type, members, read, type_name
from api.caller import Callers, domain_id, raw_query
from api.client_auth import MODES, ClientAuth, ClientAuths, Consumer, ConsumerNotFound, Mode, NewConsumer, Settings
from api.identifiers import parse_uuid
from api.pagination import decode_cursor, encode_cursor
from api.paging import PAGING, page, parse_page
from api.problems import Problem
from api.query import parse_query
from api.representation import timestamp
from api.service import Position
from core.client_auth import MAX_CA_SIZE, MAX_CRL_SIZE
from core.client_identity import KINDS, MAX_GROUPS, Kind

# The longest of both, with line ends of two octets each escaped, and room for the rest.
MAX_BODY = (MAX_CA_SIZE + MAX_CRL_SIZE) * 17 // 16 + 16 * 1024
MAX_NAME = 128


class ClientAuthResource:
    """`client_auths`: None where client certificates are not offered."""

    def __init__(self, client_auths: ClientAuths | None, callers: Callers) -> None:
        self._offered = client_auths
        self._callers = callers

    @property
    def _client_auths(self) -> ClientAuths:
        if self._offered is None:
            raise Problem("client_auth_unavailable")
        return self._offered

    async def put(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        domain = domain_id(request)
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        settings = settings_of(await read(request, MAX_BODY))
        client_auth, created = await self._client_auths.put(caller, domain, settings)
        return JSONResponse(document(client_auth), 201 if created else 200)

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return JSONResponse(document(await self._client_auths.find(caller, domain_id(request))))

    async def delete(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await self._client_auths.delete(caller, domain_id(request))
        return Response(status_code=204)

    async def add_consumer(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        made = await self._client_auths.add_consumer(caller, await _consumer(request))
        return JSONResponse(consumer_of(made), 201, {"Location": f"{request.scope['path']}/{made.id}"})

    async def list_consumers(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parameters = parse_query(raw_query(request), PAGING)
        limit, after = parse_page(parameters, decode_cursor)
        found = await self._client_auths.consumers(caller, after, limit + 1)
        shown, cursor = found[:limit], None
        if len(found) > limit:
            cursor = encode_cursor(Position(shown[-1].created_at, shown[-1].id))
        return page(request, parameters, list(map(consumer_of, shown)), cursor)

    async def show_consumer(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return JSONResponse(consumer_of(await self._client_auths.find_consumer(caller, consumer_id(request))))

    async def replace_consumer(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        wanted = consumer_id(request)
        return JSONResponse(
            consumer_of(await self._client_auths.replace_consumer(caller, wanted, await _consumer(request)))
        )

    async def delete_consumer(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await self._client_auths.delete_consumer(caller, consumer_id(request))
        return Response(status_code=204)


def settings_of(raw: bytes) -> Settings:
    """Of a request's body. Raises Problem."""
    body = members(
        raw,
        {"mode": str, "caCertificates": str},
        {"crl": str, "skipConsumerLookup": bool, "identifyBy": list, "groupsFrom": str},
    )
    if body["mode"] not in MODES:
        raise Problem("mode_unknown", f"The mode is one of {', '.join(MODES)}.", pointer="/mode")
    identify_by = body.get("identifyBy")
    if identify_by is None:
        identify_by = list(KINDS)
    known: list[Kind] = [kind for kind in identify_by if isinstance(kind, str) and kind in KINDS]
    if not known or len(set(known)) != len(identify_by):
        raise Problem("identify_by_invalid", pointer="/identifyBy")
    return Settings(
        mode=cast(Mode, body["mode"]),
        ca_pem=body["caCertificates"],
        crl_pem=body.get("crl"),
        lookup=not body.get("skipConsumerLookup"),
        identify_by=tuple(known),
        groups_from=body.get("groupsFrom"),
    )


async def _consumer(request: Request) -> NewConsumer:
    """Raises Problem."""
    check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
    body = members(await read(request), {"name": str, "kind": str, "value": str}, {"groups": list})
    name, kind, groups = body["name"], body["kind"], body.get("groups") or []
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise Problem("consumer_name_invalid", pointer="/name")
    if kind not in KINDS:
        raise Problem("consumer_kind_unknown", f"A consumer's kind is one of {', '.join(KINDS)}.", pointer="/kind")
    if len(groups) > MAX_GROUPS:
        raise Problem("list_too_long", f"A consumer has at most {MAX_GROUPS} groups.", pointer="/groups")
    for number, group in enumerate(groups):
        if not isinstance(group, str):
            raise Problem("wrong_type", f"A group is a string, not {type_name(group)}.", pointer=f"/groups/{number}")
    return NewConsumer(name, cast(Kind, kind), body["value"], tuple(dict.fromkeys(groups)))


def consumer_id(request: Request) -> UUID:
    """Raises ConsumerNotFound for what is no UUID in its one usual spelling."""
    found = parse_uuid(request.path_params["id"])
    if found is None:
        raise ConsumerNotFound
    return found


def document(client_auth: ClientAuth) -> dict[str, Any]:
    settings = client_auth.settings
    return {
        "id": str(client_auth.domain_id),
        "hostname": client_auth.hostname,
        "mode": settings.mode,
        "skipConsumerLookup": not settings.lookup,
        "identifyBy": list(settings.identify_by),
        "groupsFrom": settings.groups_from,
        "caCertificates": settings.ca_pem,
        "crl": settings.crl_pem,
        "authorities": [
            {
                "subject": one.subject,
                "serial": one.serial,
                "fingerprint": one.fingerprint,
                "notBefore": timestamp(one.not_before),
                "notAfter": timestamp(one.not_after),
            }
            for one in client_auth.authorities
        ],
        "revocationLists": [
            {
                "issuer": one.issuer,
                "thisUpdate": timestamp(one.since),
                "nextUpdate": timestamp(one.until),
                "revoked": one.revoked,
            }
            for one in client_auth.crls
        ],
        "createdAt": timestamp(client_auth.created_at),
        "updatedAt": timestamp(client_auth.updated_at),
    }


def consumer_of(consumer: Consumer) -> dict[str, Any]:
    return {
        "id": str(consumer.id),
        "name": consumer.name,
        "kind": consumer.kind,
        "value": consumer.value,
        "groups": list(consumer.groups),
        "createdAt": timestamp(consumer.created_at),
        "updatedAt": timestamp(consumer.updated_at),
    }
