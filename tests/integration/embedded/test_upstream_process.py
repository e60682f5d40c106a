"""The upstream as a child process."""

import asyncio

from embedded.plain_http import plain_http
from embedded.process import is_running
from embedded.upstream import Upstream
from embedded.upstream_process import UpstreamProcess


async def test_two_children_answer_each_by_its_name(state_dir):
    async with (
        UpstreamProcess.start(state_dir, "one") as one,
        UpstreamProcess.start(state_dir, "two") as two,
        plain_http() as client,
    ):
        for upstream in (one, two):
            seen = (await client.get(f"{upstream.url}/p", headers={"X-Tenant-Id": "a"})).json()
            assert (seen["upstream"], seen["path"]) == (upstream.name, "/p")
            assert ["x-tenant-id", "a"] in seen["headers"]


async def test_a_child_ends_with_its_block_by_sigterm_and_frees_its_port(state_dir):
    async with UpstreamProcess.start(state_dir, "one") as upstream:
        _, idle = await asyncio.open_connection("127.0.0.1", upstream.port)  # a connection does not keep it
        assert is_running(upstream.process.pid)
    idle.close()
    assert upstream.process.returncode == 0
    assert (state_dir / "one.log").read_text() == ""
    async with Upstream.start("again", upstream.port):
        pass
