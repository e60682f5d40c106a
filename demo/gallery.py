"""A tenant with a domain in each state worth looking at, made as tenants make them: by the API, the DNS and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from demo import registrar
from demo.customer import Customer
from embedded.stack import Stack

ZONE = "mybrand.test"
UNTIL = 120.0  # seconds, for all of them
LOOK = 0.2
PLAN = "10"  # domains

# By what a picture is called: its hostname, and what its status and sslStatus are to be when it is taken.
WANTED: Mapping[str, tuple[str, str, str | None]] = {
    "live": (f"shop.{ZONE}", "active", "issued"),
    "apex": (ZONE, "active", "issued"),
    "waiting": (f"www.{ZONE}", "pending", None),
    "wrong": (f"blog.{ZONE}", "pending", None),
    "elsewhere": (f"help.{ZONE}", "verified", None),
    "wildcard": (f"*.preview.{ZONE}", "pending", None),
    "paused": (f"xn--bcher-kva.{ZONE}", "active", "paused"),
}


@dataclass(slots=True)
class Gallery:
    """`ids`: of the domains, by what a picture is called."""

    stack: Stack
    owner: Customer
    ids: dict[str, UUID] = field(default_factory=dict)

    async def hang(self) -> None:
        """Raises TimeoutError when one of them does not come to be what it should."""
        dns = self.stack.dns
        await dns.add_zone(ZONE)
        made: dict[str, dict[str, Any]] = {}
        for name, (hostname, _, _) in WANTED.items():
            made[name] = await self.owner.register(hostname)
            self.ids[name] = UUID(made[name]["id"])
        for name in ("live", "apex", "paused"):
            wanted = registrar.records(made[name]["instructions"], apex=name == "apex")
            await registrar.publish(dns, wanted)
        proof = made["elsewhere"]["instructions"]["verification"]
        await dns.replace(proof["name"], "TXT", proof["value"])
        await dns.replace(WANTED["elsewhere"][0], "A", "192.0.2.7")
        await dns.replace(made["wrong"]["instructions"]["verification"]["name"], "TXT", "verify-of-another-account")
        deadline = asyncio.get_running_loop().time() + UNTIL
        for name in WANTED:
            if name not in ("waiting", "wildcard"):
                await self._until(name, deadline, verified)
        await self._until("paused", deadline, is_as("active", "issued"))
        await self.owner.pause(str(self.ids["paused"]))
        for name, (_, status, ssl_status) in WANTED.items():
            await self._until(name, deadline, is_as(status, ssl_status))
        await self._until("elsewhere", deadline, lambda body: body["ssl"]["code"] is not None)
        await self._until("wrong", deadline, lambda body: body["verification"]["code"] is not None)

    async def _until(self, name: str, deadline: float, done: Callable[[dict[str, Any]], bool]) -> None:
        """Raises TimeoutError, which says how the domain stands."""
        wanted = str(self.ids[name])
        while not done(body := await self.owner.detail(wanted)):
            if asyncio.get_running_loop().time() > deadline:
                told = body["ssl"]["message"] or body["verification"]["message"]
                raise TimeoutError(f"{body['hostname']} is {body['status']}, {body['sslStatus']}: {told}")
            await asyncio.sleep(await self.owner.verify_now(wanted) if body["status"] == "pending" else LOOK)


def verified(body: dict[str, Any]) -> bool:
    """Looked at, at least."""
    return body["status"] != "pending" or body["verification"]["code"] is not None


def is_as(status: str, ssl_status: str | None) -> Callable[[dict[str, Any]], bool]:
    return lambda body: body["status"] == status and ssl_status in (None, body["sslStatus"])


def gallery(stack: Stack, http: httpx.AsyncClient) -> Gallery:
    tenant_id = uuid4()
    return Gallery(stack, Customer("MyBrand", tenant_id, stack.identity.token(tenant_id, "alice@mybrand"), http))
