"""TCP with mutual TLS: grpcio's secure channel, with and without a certificate of ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from scenes.secrets import Authority

from sidecar.grpcfast import Call, Reply, Server, Streaming, Unary, reply

ECHO = "/t.T/Echo"
STREAM = "/t.T/Stream"


def echo(message: bytes) -> Reply:
    return reply(message)


async def pour(call: Call) -> None:
    async for message in call:
        await call.send(message)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def address(authority: Authority, tmp_path: Path) -> AsyncIterator[str]:
    certificate = authority.issue("localhost")
    (tmp_path / "chain.pem").write_text(certificate.chain_pem)
    (tmp_path / "key.pem").write_text(certificate.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.root_pem)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    server = Server({ECHO: Unary(echo), STREAM: Streaming(pour, max_message=8 << 20)})
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0, ssl=context)
    yield f"localhost:{listener.sockets[0].getsockname()[1]}"
    server.drain()
    await server.wait_closed(1)
    listener.close()
    assert (server.connections, server.tasks) == (0, 0)


def channel(authority: Authority, address: str, *, certified: bool) -> grpc.aio.Channel:
    client = authority.issue("client")
    pair = (client.key_pem.encode(), client.chain_pem.encode()) if certified else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.root_pem.encode(), *pair)
    return grpc.aio.secure_channel(address, credentials, options=[("grpc.max_receive_message_length", -1)])


async def test_a_client_with_a_certificate_is_served(authority: Authority, address: str) -> None:
    async with channel(authority, address, certified=True) as connected:
        messages = [b"%d" % number * 1000 for number in range(50)]
        assert await asyncio.gather(*map(connected.unary_unary(ECHO), messages)) == messages


async def test_large_messages_of_a_stream_pass_tls(authority: Authority, address: str) -> None:
    async with channel(authority, address, certified=True) as connected:
        call = connected.stream_stream(STREAM)()
        for _ in range(3):
            await call.write(bytes(6 << 20))
            assert await call.read() == bytes(6 << 20)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_client_without_a_certificate_is_not(authority: Authority, address: str) -> None:
    async with channel(authority, address, certified=False) as connected:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await connected.unary_unary(ECHO)(b"hello")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
