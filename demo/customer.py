"""A tenant's developer: calls the REST API, reads the DNS instructions, asks how things stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx


class ApiRefused(RuntimeError):
    """The API answered with a problem."""


@dataclass(slots=True)
class Customer:
    name: str
    tenant_id: UUID
    token: str = field(repr=False)
    http: httpx.AsyncClient = field(repr=False)

    async def register(self, hostname: str) -> dict[str, Any]:
        """POST /domains: the 201 body."""
        return await self._call("POST", "domains", json={"hostname": hostname})

    async def detail(self, domain_id: str) -> dict[str, Any]:
        return await self._call("GET", f"domains/{domain_id}")

    async def verify_now(self, domain_id: str) -> dict[str, Any]:
        return await self._call("POST", f"domains/{domain_id}/verify")

    async def delete(self, domain_id: str) -> None:
        await self._call("DELETE", f"domains/{domain_id}")

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Raises ApiRefused, with the problem's code and sentence."""
        response = await self.http.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **arguments)
        if response.is_error:
            raise ApiRefused(f"{method} {path}: {response.status_code} {response.text}")
        return dict(response.json()) if response.content else {}
