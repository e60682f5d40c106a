"""docs/reference/api.md, from the OpenAPI document that the API itself answers with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from api.openapi import document
from api.operations.operation import EVERYWHERE
from cli.reference.markdown import joined, prose, table
from cli.reference.schema import link, rows

INTRODUCTION = """\
# API

Made by `nameplate reference api` from the OpenAPI document, which a running API answers with at `/openapi.json`.
Paths are below `/api/v1`. Requests carry `Authorization: Bearer` and a JWT. Bodies are JSON, moments RFC 3339 in UTC.
What is refused is a problem document with a stable `code` ([problems.md](problems.md)); those that any request can be
answered with are named once:
"""

TAGS: Mapping[str, str] = {"tenant": "For tenants", "admin": "For the operator"}


def page() -> str:
    return joined(_lines(document()))


def _lines(api: Mapping[str, Any]) -> Iterator[str]:
    yield from INTRODUCTION.splitlines()
    yield ""
    yield ", ".join(_problem(code) for code in EVERYWHERE) + "."
    operations = [
        (method.upper(), path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    for tag, title in TAGS.items():
        mine = [entry for entry in operations if tag in entry[2]["tags"]]
        yield from ("", f"## {title}")
        yield from table(
            ("", ""),
            [
                (f"[`{method} {path}`](#{slug(operation['summary'])})", operation["summary"])
                for method, path, operation in mine
            ],
        )
        for method, path, operation in mine:
            yield from _operation(method, path, operation, api["components"])
    yield from ("", "## Schemas")
    for name, schema in api["components"]["schemas"].items():
        yield from _schema(name, schema)


def slug(heading: str) -> str:
    """As code hosts and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _operation(method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"### {operation['summary']}", "", f"`{method} {path}`")
    if text := operation.get("description"):
        yield from ("", prose(text))
    parameters = [components["parameters"][_last(reference)] for reference in operation["parameters"]]
    if parameters:
        yield from table(
            ("parameter", "in", "", ""),
            [
                (
                    f"`{parameter['name']}`",
                    parameter["in"],
                    "required" if parameter.get("required") else "",
                    prose(parameter.get("description", "")),
                )
                for parameter in parameters
            ],
        )
    answers = []
    if body := operation.get("requestBody"):
        answers.append(("body" if body["required"] else "body, optional", link(_json(body))))
    for status, response in operation["responses"].items():
        if status < "400":
            schema = _json(response)
            answers.append((status, f"{prose(response['description'])} {link(schema) if schema else ''}"))
        elif codes := [code for code in re.findall(r"`(\w+)`", response["description"]) if code not in EVERYWHERE]:
            answers.append((status, ", ".join(_problem(code) for code in codes)))
    yield from table(("", ""), answers)


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"### {name}")
    if text := schema.get("description"):
        yield from ("", prose(text))
    if members := list(rows(schema)):
        yield from table(("member", "value", "", ""), members)
    for example in schema.get("examples", [])[:1]:
        yield from ("", "```json", *json.dumps(example, indent=2, ensure_ascii=False).splitlines(), "```", "")


def _problem(code: str) -> str:
    return f"[`{code}`](problems.md#{code})"


def _json(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = holder.get("content", {})
    schema: Mapping[str, Any] | None = content.get("application/json", {}).get("schema")
    return schema


def _last(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
