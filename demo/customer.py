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

    async def verify_now(self, domain_id: str) -> float:
        """0.0: asked for. Otherwise it is too soon, and this is for how many seconds."""
        response = await self._send("POST", f"domains/{domain_id}/verify")
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return float(response.headers["Retry-After"])
        accepted(response)
        return 0.0

    async def pause(self, domain_id: str) -> None:
        await self._call("POST", f"domains/{domain_id}/pause")

    async def delete(self, domain_id: str) -> None:
        await self._call("DELETE", f"domains/{domain_id}")

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Raises ApiRefused."""
        response = accepted(await self._send(method, path, **arguments))
        return dict(response.json()) if response.content else {}

    async def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return await self.http.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **arguments)


def accepted(response: httpx.Response) -> httpx.Response:
    """Raises ApiRefused, with the problem's code and sentence."""
    if response.is_error:
        request = response.request
        raise ApiRefused(f"{request.method} {request.url.path}: {response.status_code} {response.text}")
    return response
