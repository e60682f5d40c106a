"""The embedded Envoy with a small configuration of its own."""

import asyncio

import httpx
import pytest
from scenes.answering import answering

from embedded.envoy import SHARED_MEMORY, Envoy, HotRestart, validate
from embedded.plain_http import plain_http
from embedded.process import ServerFailed, is_running


async def get(url: str) -> httpx.Response:
    async with plain_http() as client:
        return await client.get(url)


async def test_it_serves_a_configuration_and_counts(state_dir, ports):
    (port,) = ports(1)
    async with Envoy.start(state_dir, answering(port)) as envoy:
        assert (await get(f"http://127.0.0.1:{port}/")).text == "served"
        stats = await envoy.stats("http.main.")
        assert stats["http.main.downstream_rq_2xx"] == 1
        assert all(name.startswith("http.main.") for name in stats)
        await envoy.stop()
        with pytest.raises(httpx.ConnectError):
            await get(f"http://127.0.0.1:{port}/")
        await envoy.start_again()
        assert (await get(f"http://127.0.0.1:{port}/")).text == "served"


async def test_a_drain_closes_connections_gently_and_goes_on_serving(state_dir, ports):
    (port,) = ports(1)
    async with Envoy.start(state_dir, answering(port), drain_time=1) as envoy:
        await envoy.drain()
        assert (await get(f"http://127.0.0.1:{port}/")).text == "served"
        assert envoy.pid


async def test_a_hot_restart_hands_over_without_a_refused_connection(state_dir, ports):
    (port,) = ports(1)
    configuration = answering(port)
    async with Envoy.start(state_dir, configuration, drain_time=1, hot_restart=HotRestart(parent_shutdown=2)) as envoy:
        for _ in range(2):
            before = envoy.pid
            restarted = asyncio.create_task(envoy.restart_hot())
            while not restarted.done():
                assert (await get(f"http://127.0.0.1:{port}/")).text == "served"
            await restarted
            assert envoy.pid != before
            assert not is_running(before)
        memory = SHARED_MEMORY / f"envoy_shared_memory_{(envoy.home / 'base-id').read_text()}0"
        assert memory.exists()
    assert not memory.exists()


async def test_a_hot_restart_that_was_not_asked_for_is_refused(state_dir, ports):
    async with Envoy.start(state_dir, answering(ports(1)[0])) as envoy:
        with pytest.raises(ServerFailed, match="hot restart"):
            await envoy.restart_hot()


async def test_its_admin_interface_can_be_a_port(state_dir, ports):
    port, admin = ports(2)
    async with Envoy.start(state_dir, answering(port), admin_port=admin) as envoy:
        assert (await get(f"{envoy.admin_url}/ready")).text.strip() == "LIVE"


async def test_a_wrong_configuration_is_refused_in_envoys_words(state_dir, ports):
    await validate(answering(ports(1)[0]), state_dir)
    with pytest.raises(ServerFailed, match="listenerz"):
        await validate("static_resources: {listenerz: []}", state_dir)
    with pytest.raises(ServerFailed, match="listenerz"):
        async with Envoy.start(state_dir, "static_resources: {listenerz: []}"):
            pass
