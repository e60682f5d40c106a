"""A replica that dies between a delivery and its mark, and one that is merely slow to notice that its lease is gone."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

from scenes.notifications import Places, WebhookServer, mortal, room

SHORT = Places(turn=0.2, deadline=1.0)


async def test_what_a_killed_replica_had_delivered_is_delivered_again_under_the_same_id(
    database, pool, vault_mount, eventually
) -> None:
    """And what follows it in its lane is not sent before it is marked."""
    victims: list[int] = []

    def kill_then_answer(_hook) -> int:
        while victims:
            os.kill(victims.pop(), signal.SIGKILL)  # it has delivered, and never learns so
        return 200

    hooks = WebhookServer()
    hooks.answer = kill_then_answer
    async with hooks.serve(), room(pool, vault_mount, places=SHORT) as scene:
        _, tenant, _ = await scene.endpoint(f"http://127.0.0.1:{hooks.port}/")
        domain = uuid4()
        for number in range(3):
            await scene.happen(tenant, domain=domain, hostname="a.example", by=str(number))
        async with mortal(database.control_dsn, vault_mount, SHORT) as process:
            victims.append(process.pid)
            await process.wait()
        assert process.returncode == -signal.SIGKILL
        assert [hook.body["data"]["by"] for hook in hooks.hooks] == ["0"]
        assert await scene.states() == ["pending", "pending", "pending"]
        async with scene.running():

            async def all_there():
                return await scene.states() == ["delivered"] * 3

            await eventually(all_there, timeout=15)
    assert [hook.body["data"]["by"] for hook in hooks.hooks] == ["0", "0", "1", "2"]
    assert hooks.hooks[0].id == hooks.hooks[1].id
    assert len({hook.id for hook in hooks.hooks}) == 3
