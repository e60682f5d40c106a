"""The OpenAPI 3.1 document, made from the tables that the API itself runs on. https://spec.openapis.org/oas/v3.1.1"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.catalogue import CATALOGUE
from api.operations import OPERATIONS, PREFIXES
from api.operations.operation import Operation, Success
from api.parameters import HEADERS, PARAMETERS
from api.problems import ADMIN_SCOPE, Problem
from api.problems import MEDIA_TYPE as PROBLEM_MEDIA_TYPE
from api.schemas import SCHEMAS

VERSION = "1.0.0"  # of the API, not of the software
JSON = "application/json"

_DESCRIPTION = """Custom domains: register a hostname, make the DNS records that the answer names; the platform then \
proves it, obtains a certificate and serves it. Errors are problem documents (RFC 9457); `/problems` lists all."""


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Nameplate", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": prefix} for prefix in PREFIXES],
        "security": [{"bearer": []}],
        "tags": [
            {"name": "tenant", "description": "What a tenant does: the token's claim says which."},
            {"name": "admin", "description": f"What the platform's admin does: `{ADMIN_SCOPE}` in the token's scope."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Signed with RS256, ES256 or EdDSA; a claim names the tenant, or a scope the admin.",
                }
            },
            "schemas": SCHEMAS,
            "parameters": PARAMETERS,
            "headers": HEADERS,
        },
    }


class Document:
    """The document, encoded once."""

    def __init__(self) -> None:
        self._body = json.dumps(document(), separators=(",", ":"))

    async def show(self, _request: Request) -> Response:
        return Response(self._body, media_type=JSON, headers={"Cache-Control": "public, max-age=300"})


def _operation(operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary, "tags": [operation.tag]}
    if operation.description:
        made["description"] = operation.description
    made["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in operation.parameters]
    if operation.body is not None:
        made["requestBody"] = {
            "required": operation.body_required,
            "content": {JSON: {"schema": _schema(operation.body)}},
        }
    made["responses"] = {
        **{str(status): _success(success) for status, success in operation.successes.items()},
        **{str(status): _problems(status, list(codes)) for status, codes in _by_status(operation.problems)},
    }
    return made


def _success(success: Success) -> dict[str, Any]:
    made: dict[str, Any] = {"description": success.description, "headers": _headers(*success.headers)}
    if success.schema is not None:
        made["content"] = {JSON: {"schema": _schema(success.schema)}}
    return made


def _problems(status: int, codes: list[str]) -> dict[str, Any]:
    special = {
        401: ("WWW-Authenticate",),
        403: ("WWW-Authenticate",),
        429: ("Retry-After",),
        503: ("Retry-After",),
    }.get(status, ())
    headers = _headers(*special)
    if "hostname_cooling_down" in codes:
        headers["Retry-After"] = _header("Retry-After-409")
    schema = {
        "allOf": [_schema("Problem"), {"properties": {"status": {"const": status}, "code": {"enum": codes}}}],
    }
    examples = {code: {"summary": CATALOGUE[code].title, "value": Problem(code).document()} for code in codes}
    return {
        "description": "; ".join(f"`{code}`" for code in codes),
        "headers": headers,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }


def _by_status(codes: Iterable[str]) -> Iterable[tuple[int, Iterable[str]]]:
    def status(code: str) -> int:
        return CATALOGUE[code].status

    return groupby(sorted(codes, key=status), key=status)


def _headers(*names: str) -> dict[str, Any]:
    return {name: _header(name) for name in ("X-Request-Id", *names)}


def _header(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _schema(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
