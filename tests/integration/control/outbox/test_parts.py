"""Put together as control does it: from settings, woken by PostgreSQL, with its figures in the registry."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import uuid4

import asyncpg
from prometheus_client import CollectorRegistry
from scenes.notifications import WebhookServer

from api.auth import Principal
from control.domains.transition import apply
from control.listener import Listener
from control.outbox import deliverer as loop
from control.outbox.parts import deliverer, endpoints
from control.outbox.settings import NotificationSettings
from control.vault import Vault
from core.domain import Finding
from core.feed import OUTBOX_CHANNEL
from core.vault_login import AppRole


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_step_of_a_domain_is_told_at_once(
    database, pool, vault_mount, add_domain, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "POLL", 3600.0)  # what is told at once is told by notification
    role_id, secret_id = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role_id, lambda: secret_id))
    settings = NotificationSettings(webhook_allowed_networks=(ip_network("127.0.0.0/8"),), webhook_allow_http=True)
    registry = CollectorRegistry()
    async with WebhookServer().serve() as hooks:
        made = deliverer(settings, pool, vault, (), registry, now)
        listening = asyncio.Event()

        def connected() -> None:
            made.wake()
            listening.set()

        listener = Listener(database.control_dsn, {OUTBOX_CHANNEL: lambda _: made.wake()}, on_connect=connected)
        tasks = [asyncio.create_task(made.run()), asyncio.create_task(listener.run())]
        try:
            await listening.wait()
            domain_id = await add_domain("a.example", job=None)
            tenant = await pool.fetchval("SELECT tenant_id FROM custom_domains WHERE id = $1", domain_id)
            async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=2) as api_pool:
                api = endpoints(settings, api_pool, vault, now)
                url = f"http://127.0.0.1:{hooks.port}/"
                _, secret = await api.add(Principal(tenant, "alice"), "webhook", url, None)
            assert secret is not None
            finding = Finding("txt_found", "The TXT record is there.", "nobody", now(), {})
            async with pool.acquire() as connection, connection.transaction():
                await apply(connection, domain_id, "record_found", "control:test", finding=finding)
            [hook] = await eventually(lambda: hooks.hooks)
            assert hook.verified_by(secret.secret)
            assert hook.body == {
                "type": "domain.dns_check",
                "timestamp": hook.body["timestamp"],
                "data": {
                    "domainId": str(domain_id),
                    "hostname": "a.example",
                    "from": "pending",
                    "to": "dns_check",
                    "code": "txt_found",
                    "message": "The TXT record is there.",
                    "who": "nobody",
                    "summary": "A DNS record of a.example was found",
                },
            }

            def counted() -> bool:
                labels = {"kind": "webhook", "outcome": "delivered"}
                return registry.get_sample_value("nameplate_deliveries_total", labels) == 1

            await eventually(counted)
            # The audit keeps what it always kept.
            [detail] = [row["detail"] for row in await pool.fetch("SELECT detail FROM audit")]
            assert json.loads(detail) == {
                "event": "record_found",
                "from": "pending",
                "to": "dns_check",
                "finding": "txt_found",
            }
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            vault.close()


async def test_the_figures_say_what_waits_and_what_was_given_up(scene, hooks, url, eventually) -> None:
    _, tenant, _ = await scene.endpoint(url())
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    await scene.pool.execute(
        "UPDATE deliveries SET created_at = now() - interval '1 hour', due_at = now() + interval '1 day'"
    )
    await scene.happen(tenant, domain=uuid4(), hostname="b.example")
    await scene.queue.dispatch(scene.clock())
    await scene.pool.execute(
        """UPDATE deliveries SET state = 'dead', settled_at = now(), due_at = NULL
           WHERE outbox_id = (SELECT max(id) FROM outbox)"""
    )
    async with scene.running():

        def value(name: str) -> float:
            return scene.registry.get_sample_value(name) or 0.0

        await eventually(lambda: value("nameplate_deliveries_waiting") == 1)
        assert value("nameplate_deliveries_dead") == 1
        assert 3500 < value("nameplate_delivery_oldest_seconds") < 3700
