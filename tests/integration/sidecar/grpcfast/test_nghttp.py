"""Calls of nghttp2's programs: nghttp, and a short run of h2load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from embedded import debian
from embedded.process import run
from sidecar.grpcfast import Reply, Server, Unary, reply
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Echo"
FIELDS = ("-H", "content-type: application/grpc", "-H", "te: trailers")


def echo(message: bytes) -> Reply:
    return reply(message)


@pytest.fixture(scope="session")
def nghttp() -> Callable[[str], Path]:
    debian.ensure("nghttp2-client")
    return lambda program: debian.require("nghttp2-client", program)


@pytest.fixture
async def authority() -> AsyncIterator[str]:
    """Of an echo server on TCP: nghttp knows no Unix sockets."""
    server = Server({ECHO: Unary(echo)})
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.drain()
    await server.wait_closed(1)
    listener.close()
    assert (server.connections, server.counters.protocol_errors) == (0, 0)


@pytest.fixture
def body(state_dir: Path) -> Path:
    file = state_dir / "body"
    file.write_bytes(frame(b"hello"))
    return file


async def test_nghttp_gets_the_answer_and_its_trailers(authority: str, body: Path, nghttp: Callable[..., Any]) -> None:
    output = await run([nghttp("nghttp"), "-nv", *FIELDS, "-d", body, f"http://{authority}{ECHO}"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert ":status: 200" in text
    assert "grpc-status: 0" in text
    assert "DATA frame <length=10, flags=0x00, stream_id=" in text
    assert "GOAWAY" in text  # its own, at the end
    assert "error_code=NO_ERROR" in text


async def test_nghttp_may_pad_its_frames_and_send_priorities_and_many_requests(
    authority: str, body: Path, nghttp: Callable[..., Any]
) -> None:
    urls = [f"http://{authority}{ECHO}?{number}" for number in range(5)]  # unknown methods: refused, each on its own
    output = await run([nghttp("nghttp"), "-nv", "--padding=100", *FIELDS, "-d", body, *urls])
    assert output.count("grpc-status: 12") == 5


async def test_h2load_sees_no_failure(authority: str, body: Path, nghttp: Callable[..., Any]) -> None:
    output = await run(
        [nghttp("h2load"), "-c", "4", "-m", "50", "-n", "20000", *FIELDS, "-d", body, f"http://{authority}{ECHO}"]
    )
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in output
    assert "20000 2xx" in output
