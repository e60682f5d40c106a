"""Where control listens."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

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


async def test_a_client_that_takes_nothing_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[object]]
) -> None:
    """Also after the server has closed it, with more to send than the kernel has room for."""
    monkeypatch.setattr("control.app.STALLED", 0.5)
    taken: list[asyncio.StreamWriter] = []

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        writer.write(bytes(16 << 20))
        writer.close()

    with bind("127.0.0.1:0") as bound, socket.socket() as client:
        async with await asyncio.start_server(answer, sock=bound):
            client.connect(bound.getsockname())
            await eventually(lambda: taken)
            async with asyncio.timeout(30):
                with pytest.raises(TimeoutError) as ended:
                    await taken[0].wait_closed()
    assert ended.value.errno == errno.ETIMEDOUT


def test_a_place_that_is_taken_is_an_error() -> None:
    with bind("127.0.0.1:0") as bound:
        bound.listen()
        with pytest.raises(OSError, match="in use"):
            bind(f"127.0.0.1:{bound.getsockname()[1]}")
