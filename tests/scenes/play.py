"""What a tenant, a registrar and a visitor do in a test on the whole stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from demo import registrar
from demo.customer import Customer
from embedded.browser import HandshakeRefused, Page
from embedded.plain_http import plain_http
from embedded.stack import Stack

UNTIL_ACTIVE = 60.0


@dataclass(slots=True)
class Play:
    """A test's own zone, and what a tenant, a registrar and a visitor do."""

    stack: Stack
    zone: str
    http: httpx.AsyncClient
    eventually: Callable[..., Awaitable[Any]]

    def customer(self, tenant_id: UUID | None = None) -> Customer:
        tenant_id = tenant_id or uuid4()
        return Customer("tenant", tenant_id, self.stack.identity.token(tenant_id), self.http)

    async def publish(self, body: dict[str, Any], *, apex: bool = False) -> None:
        await registrar.publish(self.stack.dns, registrar.records(body["instructions"], apex=apex))

    async def active(self, owner: Customer, hostname: str, *, apex: bool = False) -> dict[str, Any]:
        """Register, prove, and wait until it is served."""
        body = await owner.register(hostname)
        await self.publish(body, apex=apex)
        return await self.until_active(owner, body["id"])

    async def until_active(self, owner: Customer, domain_id: str) -> dict[str, Any]:
        await self.verify_now(owner, domain_id)

        async def is_active() -> dict[str, Any] | None:
            body = await owner.detail(domain_id)
            return body if body["status"] == "active" else None

        found: dict[str, Any] = await self.eventually(is_active, timeout=UNTIL_ACTIVE)
        return found

    async def verify_now(self, owner: Customer, domain_id: str) -> None:
        """Pressed again until it is not too soon."""

        async def accepted() -> bool:
            return await owner.verify_now(domain_id) == 0

        await self.eventually(accepted, timeout=10)

    async def visit(self, hostname: str, **arguments: Any) -> Page:
        return await self.stack.browser.get(hostname, self.stack.https_port, **arguments)

    async def refused(self, hostname: str) -> bool:
        try:
            await self.visit(hostname)
        except HandshakeRefused:
            return True
        return False


def tenants_seen(page: Page) -> list[str]:
    """What the upstream received as x-tenant-id, every one."""
    assert page.status == 200, page.body
    return [value for name, value in page.json()["headers"] if name.lower() == "x-tenant-id"]


@asynccontextmanager
async def play_in(stack: Stack, zone: str, eventually: Callable[..., Awaitable[Any]]) -> AsyncIterator[Play]:
    await stack.dns.add_zone(zone)
    async with plain_http(base_url=stack.api_url + "/", timeout=30.0) as http:
        yield Play(stack, zone, http, eventually)
