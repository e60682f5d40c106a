"""Where control listens."""

from __future__ import annotations

import asyncio
import socket

import pytest

from control.app import bind


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with bind(f"{host}:0") as bound:
        async with await asyncio.start_server(take, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname()[:2])
            assert await accepted == 1
            writer.close()
            await writer.wait_closed()


def test_a_place_that_is_taken_is_an_error() -> None:
    with bind("127.0.0.1:0") as bound:
        bound.listen()
        with pytest.raises(OSError, match="in use"):
            bind(f"127.0.0.1:{bound.getsockname()[1]}")
