"""What a CA sends that is not meant to be read: too much, for too long, from elsewhere."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from control.acme import network as networks
from control.acme.network import MAX_ANSWER, Network
from control.acme.problems import AcmeUnavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
REDIRECT = (
    b"HTTP/1.1 %d Found\r\nLocation: http://127.0.0.1:%d/inside\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
BOMB = gzip.compress(b" " * MAX_ANSWER + b"{}")

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Ca:
    """Answers every request by `answer`."""

    def __init__(self) -> None:
        self.answer: Write
        self.asked = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            await self.answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # cut off
        finally:
            writer.transport.abort()


@pytest.fixture
async def ca() -> AsyncIterator[Ca]:
    ca = Ca()
    server = await asyncio.start_server(ca.serve, "127.0.0.1")
    ca.port = server.sockets[0].getsockname()[1]
    async with server:
        yield ca


@pytest.fixture
def key() -> JWKEC:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


def says(*parts: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return write


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n")
    while True:
        writer.write(b"[" * 65536)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def refused(ca: Ca, key: JWKEC) -> str:
    network = Network(f"http://127.0.0.1:{ca.port}/directory", key)
    try:
        with pytest.raises(AcmeUnavailable) as error:
            await asyncio.to_thread(network.directory)
    finally:
        network.close()
    return str(error.value)


@pytest.mark.parametrize(
    "answer",
    [endless, says(HEAD, b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB)],
    ids=["endless", "packed"],
)
async def test_no_more_is_read_than_an_answer_has(ca: Ca, key: JWKEC, answer: Write) -> None:
    ca.answer = answer
    assert "too long" in await refused(ca, key)


async def test_an_answer_that_drips_gives_its_thread_back(ca: Ca, key: JWKEC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "ANSWER_TIMEOUT", 0.2)
    ca.answer = dripping
    assert "without an end" in await refused(ca, key)


async def test_what_is_nested_too_deeply_is_no_json(ca: Ca, key: JWKEC) -> None:
    ca.answer = says(HEAD, b"Content-Length: 200000\r\n\r\n", b"[" * 200000)
    assert "not JSON" in await refused(ca, key)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(ca: Ca, key: JWKEC, status: int) -> None:
    ca.answer = says(REDIRECT % (status, ca.port))
    assert f"HTTP status {status}" in await refused(ca, key)
    assert ca.asked == 1


async def test_below_a_directory_with_tls_nothing_is_asked_without_it(ca: Ca, key: JWKEC) -> None:
    ca.answer = says(HEAD, b"Content-Length: 2\r\n\r\n{}")
    network = Network("https://ca.example/directory", key)
    try:
        with pytest.raises(AcmeUnavailable, match="without TLS"):
            await asyncio.to_thread(network.get, f"http://127.0.0.1:{ca.port}/renewal-info/a.b")
    finally:
        network.close()
    assert ca.asked == 0
