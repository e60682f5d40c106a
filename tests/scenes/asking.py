"""A tenant that asks its domain's clients for certificates, at the API."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
from scenes.client_certificates import Authority

from api.catalogue import CATALOGUE
from api.operations.client_auth import OPERATIONS

HOST = "api.example.com"
ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
OTHER = Authority.root("Root B", 4)


def body(*authorities: Authority, **more: Any) -> dict[str, Any]:
    pems = "".join(one.pem for one in authorities or (ROOT,))
    return {"mode": "required", "caCertificates": pems, **more}


def consumer(name: str = "orders", kind: str = "san", value: str = "dns:orders.test", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "value": value, **more}


def problem(response: httpx.Response, code: str, pointer: str | None = None) -> None:
    document = response.json()
    assert (document["code"], response.status_code) == (code, CATALOGUE[code].status), document
    assert code in {one for operation in OPERATIONS for one in operation.problems}
    if pointer is not None:
        assert document["pointer"] == pointer


async def changes(control: asyncpg.Connection[Any]) -> list[tuple[str, str, bool]]:
    """Kind, key, and whether something ended, since the last look; tenants that are new left out."""
    rows = await control.fetch(
        "SELECT kind, key, ended IS NOT NULL AS ended FROM changes WHERE kind <> 'tenant' ORDER BY id"
    )
    await control.execute("DELETE FROM changes")
    return [tuple(row) for row in rows]


async def go_live(control: asyncpg.Connection[Any], status: str = "active") -> None:
    await control.execute("UPDATE custom_domains SET status = $1 WHERE hostname = $2", status, HOST)
