"""The story: two tenants bring three domains, exactly as customers would, through the REST API, DNS and a browser."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo import registrar
from demo.customer import Customer
from demo.ledger import Ledger
from embedded.browser import HandshakeRefused, Page
from embedded.stack import PLATFORM, Stack

UNTIL_ACTIVE = 60.0  # seconds; a CA may take its time to validate
UNTIL_REFUSED = 1.0  # seconds from DELETE to the first refused handshake: what the README promises
LOOK = 0.05


@dataclass(slots=True)
class Named:
    """A domain on its way. Times are of the monotonic clock, in seconds."""

    hostname: str
    apex: bool
    owner: Customer
    body: dict[str, Any]
    recorded_at: float = 0.0
    served_at: float = 0.0
    trail: list[str] = field(default_factory=list)

    def look(self, body: dict[str, Any]) -> None:
        """Take over what the API says now, and remember each state that was seen."""
        self.body = body
        state = f"{body['status']}/{body['sslStatus']}"
        if self.trail[-1:] != [state]:
            self.trail.append(state)

    @property
    def id(self) -> str:
        return str(self.body["id"])


class Story:
    def __init__(self, stack: Stack, http: httpx.AsyncClient, ledger: Ledger, console: Console) -> None:
        self.stack = stack
        self._ledger = ledger
        self._console = console
        self._browser = stack.browser
        self.brand = self._customer("MyBrand", uuid4(), http)
        self.crm = self._customer("MyCompany", uuid4(), http)
        self.shop: Named
        self.company: Named
        self.promo: Named

    def _customer(self, name: str, tenant_id: UUID, http: httpx.AsyncClient) -> Customer:
        return Customer(name, tenant_id, self.stack.identity.token(tenant_id, name.lower(), 24 * 3600), http)

    async def tell(self) -> None:
        await self._register()
        await self._prove()
        await self._serve()
        await self._refuse()
        await self._platform_name()
        await self._delete()

    def _chapter(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/]")

    async def _register(self) -> None:
        self._chapter("1. Two tenants register their names: POST /api/v1/domains")
        for zone in ("mybrand.test", "mycompany-crm.test"):
            await self.stack.dns.add_zone(zone)
        self.shop = await self._bring(self.brand, "shop.mybrand.test", apex=False)
        self.company = await self._bring(self.crm, "mycompany-crm.test", apex=True)
        self.promo = await self._bring(self.crm, "promo.mycompany-crm.test", apex=False)
        domains = (self.shop, self.company, self.promo)
        states = {(domain.body["status"], domain.body["sslStatus"]) for domain in domains}
        targets = {domain.owner.name: domain.body["instructions"]["subdomain"]["value"] for domain in domains}
        self._ledger.check(
            "each is pending, with its own DNS instructions",
            states == {("pending", "none")},
            ", ".join(" / ".join(one) for one in states),
        )
        self._ledger.check(
            "each tenant has a CNAME target of its own, so that no record left behind gives a name away",
            len(set(targets.values())) == len(targets) == 2,
            " and ".join(targets.values()),
        )
        table = Table(
            "tenant", "record", "type", "value", title="The records that the API asks for", title_justify="left"
        )
        for domain in domains:
            for name, kind, value in registrar.records(domain.body["instructions"], apex=domain.apex):
                table.add_row(domain.owner.name, name, kind, value)
        self._console.print(table)

    async def _bring(self, owner: Customer, hostname: str, *, apex: bool) -> Named:
        body = await owner.register(hostname)
        domain = Named(hostname, apex, owner, body)
        domain.look(body)
        return domain

    async def _prove(self) -> None:
        self._chapter("2. The records go into the zones, and each tenant presses “Verify now”")
        domains = (self.shop, self.company, self.promo)
        for domain in domains:
            await registrar.publish(self.stack.dns, registrar.records(domain.body["instructions"], apex=domain.apex))
            domain.recorded_at = time.monotonic()
        for domain in domains:
            await self._verify_now(domain)
        with Live(console=self._console, refresh_per_second=10, transient=not self._console.is_terminal) as live:
            await asyncio.gather(*(self._follow(domain, live, domains) for domain in domains))
        for domain in domains:
            self._console.print(f"  {domain.hostname} was seen as {' → '.join(domain.trail)}", highlight=False)
            took = domain.served_at - domain.recorded_at
            self._ledger.check(
                f"{domain.hostname} is active, and answers over HTTPS",
                domain.body["status"] == "active" and domain.served_at > 0,
                f"first good answer {took:.1f} s after its DNS record" if domain.served_at else why(domain.body),
            )

    async def _verify_now(self, domain: Named) -> None:
        """As a person would: told to wait a moment, waits a moment."""
        while True:
            wait = await domain.owner.verify_now(domain.id)
            if not wait:
                return
            await asyncio.sleep(wait)

    async def _follow(self, domain: Named, live: Live, domains: tuple[Named, ...]) -> None:
        """Watch the states change until the browser gets its first good answer."""
        deadline = time.monotonic() + UNTIL_ACTIVE
        while time.monotonic() < deadline:
            domain.look(await domain.owner.detail(domain.id))
            live.update(progress(domains))
            if domain.body["status"] == "failed":
                return
            if domain.body["status"] == "active":
                page = await self._answer(domain.hostname)
                if page is not None and page.status == 200:
                    domain.served_at = time.monotonic()
                    live.update(progress(domains))
                    return
            await asyncio.sleep(LOOK)

    async def _answer(self, hostname: str) -> Page | None:
        try:
            return await self._browser.get(hostname, self.stack.https_port)
        except HandshakeRefused:
            return None

    async def _serve(self) -> None:
        self._chapter("3. HTTPS through Envoy: the chain is verified, and the upstream sees whose request it is")
        for domain in (self.shop, self.company):
            page = await self._browser.get(domain.hostname, self.stack.https_port)
            tenants = values(page, "x-tenant-id")
            self._console.print(
                f"  upstream {page.json()['upstream']} saw for {domain.hostname}: x-tenant-id {tenants}"
            )
            self._ledger.check(
                f"{domain.hostname} is marked with {domain.owner.name}'s tenant",
                tenants == [str(domain.owner.tenant_id)] and domain.hostname in page.names,
                f"certificate for {', '.join(page.names)}",
            )
        forged = str(self.crm.tenant_id)
        spoof = (("x-tenant-id", forged), ("X-Tenant-Id", "admin"))
        page = await self._browser.get(self.shop.hostname, self.stack.https_port, headers=spoof)
        self._ledger.check(
            "a client's own x-tenant-id does not get through",
            values(page, "x-tenant-id") == [str(self.brand.tenant_id)] and forged not in page.body.decode(),
            f"sent {forged[:8]}… and admin, the upstream saw {values(page, 'x-tenant-id')}",
        )
        plain = await self._browser.get_plain(self.shop.hostname, self.stack.http_port, "/basket?item=1")
        self._ledger.check(
            "plain HTTP is led to HTTPS",
            plain.status == 308 and plain.header("location") == f"https://{self.shop.hostname}/basket?item=1",
            f"{plain.status} {plain.header('location')}",
        )

    async def _refuse(self) -> None:
        self._chapter("4. What nobody registered is not served")
        await self._expect_refusal("nobody.example.test is refused in the handshake", "nobody.example.test")
        page = await self._browser.get_plain("nobody.example.test", self.stack.http_port)
        self._ledger.check(
            "over plain HTTP it gets the default page",
            page.status == 404 and b"Domain not configured for this platform" in page.body,
            f"{page.status} Domain not configured for this platform",
        )
        page = await self._browser.get(self.shop.hostname, self.stack.https_port, host_header=self.company.hostname)
        self._ledger.check(
            "a Host that the connection's certificate does not cover is refused", page.status == 421, str(page.status)
        )

    async def _expect_refusal(self, claim: str, name: str) -> None:
        try:
            page = await self._browser.get(name, self.stack.https_port)
        except HandshakeRefused as refusal:
            self._ledger.check(claim, True, str(refusal))
        else:
            self._ledger.check(claim, False, f"answered {page.status}")

    async def _platform_name(self) -> None:
        self._chapter("5. The tenant's name on the platform goes on working")
        name = f"tenant-{self.brand.tenant_id}.{PLATFORM}"
        page = await self._browser.get(name, self.stack.https_port)
        self._ledger.check(
            f"{name[:15]}….{PLATFORM} is served with the platform's wildcard certificate",
            page.status == 200 and values(page, "x-tenant-id") == [str(self.brand.tenant_id)],
            f"certificate for {', '.join(page.names)}",
        )

    async def _delete(self) -> None:
        self._chapter("6. A tenant takes a domain away: DELETE /api/v1/domains/{id}")
        await self.promo.owner.delete(self.promo.id)
        deleted_at = time.monotonic()
        while time.monotonic() < deleted_at + 10 * UNTIL_REFUSED:
            try:
                await self._browser.get(self.promo.hostname, self.stack.https_port)
            except HandshakeRefused:
                break
        took = time.monotonic() - deleted_at
        self._ledger.check(
            f"{self.promo.hostname} is refused within a second of its deletion",
            took <= UNTIL_REFUSED,
            f"refused {took * 1000:.0f} ms after the API had answered",
        )


def values(page: Page, header: str) -> list[str]:
    """All values of a header as the upstream saw them."""
    if page.status != 200:
        return []
    return [value for name, value in page.json()["headers"] if name.lower() == header]


def progress(domains: tuple[Named, ...]) -> Table:
    table = Table("domain", "status", "ssl", "what was found", show_edge=False)
    for domain in domains:
        colour = {"active": "green", "failed": "red"}.get(domain.body["status"], "yellow")
        table.add_row(
            domain.hostname, f"[{colour}]{domain.body['status']}[/]", domain.body["sslStatus"], why(domain.body)
        )
    return table


def why(body: dict[str, Any]) -> str:
    """The sentence of the last finding."""
    for part in ("ssl", "verification"):
        message = (body.get(part) or {}).get("message")
        if message:
            return str(message)
    return ""
