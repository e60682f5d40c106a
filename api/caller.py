"""What every operation begins with: who calls, with which query, about which domain."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request

from api.auth import Authenticator, Operator, Principal
from api.endpoints import DeliveryNotFound
from api.identifiers import parse_uuid
from api.problems import Problem
from api.service import DomainNotFound


class Callers:
    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def of(self, request: Request) -> Principal:
        """Raises Problem."""
        caller = await self._authenticator.authenticate(_authorization(request))
        request.state.tenant_id = str(caller.tenant_id)
        # RFC 9110 section 13.1.1: nothing here has an entity tag, so no list of them can hold.
        if request.headers.get("if-match", "*") != "*":
            raise Problem("precondition_failed")
        return caller

    async def operator(self, request: Request) -> Operator:
        """Somebody of the platform itself; conditions are the operation's business. Raises Problem."""
        return await self._authenticator.authenticate_operator(_authorization(request))


def _authorization(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise Problem("token_malformed", "Send one Authorization header.")
    return values[0] if values else None


def raw_query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def domain_id(request: Request) -> UUID:
    """Raises DomainNotFound for what is no UUID in its one usual spelling: no domain has such an id."""
    found = parse_uuid(request.path_params["id"])
    if found is None:
        raise DomainNotFound
    return found


def delivery_id(request: Request) -> UUID:
    """Raises DeliveryNotFound, as above."""
    found = parse_uuid(request.path_params["delivery"])
    if found is None:
        raise DeliveryNotFound
    return found
