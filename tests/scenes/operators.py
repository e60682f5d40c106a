"""An operator at the admin API, and what it describes there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from scenes.hierarchy import Hierarchy

from embedded.plain_http import plain_http

CA = Hierarchy.of("edge.platform.io")
SPEC = {"addresses": [{"host": "10.0.0.7", "port": 8080}]}
TLS_SPEC = {"addresses": [{"host": "shop.internal", "port": 443}], "tls": {"trust": "internal", "identity": "edge"}}
BUNDLE = {"pem": CA.root.pem}
PAIR = {"certificate": CA.chain, "privateKey": CA.leaf.key_pem}
PATHS = ("/admin/services", "/admin/trust", "/admin/identities")


@dataclass(frozen=True, slots=True)
class Admin:
    url: str
    client: httpx.AsyncClient = field(repr=False)

    async def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.client.put(path, json=body, headers=headers)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        response = await self.put(path, body)
        assert response.status_code in (200, 201), response.text
        made: dict[str, Any] = response.json()
        return made


def client(url: str, token: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return plain_http(base_url=url + "/api/v1", headers=headers, timeout=30)


async def audited(control: asyncpg.Connection[Any]) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await control.fetch("SELECT actor, action, detail FROM audit WHERE tenant_id = $1 ORDER BY id", UUID(int=0))
    return [(row["actor"], row["action"], json.loads(row["detail"])) for row in rows]


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    return response.status_code, response.json()["code"], response.json().get("pointer")
