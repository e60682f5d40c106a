"""The upstream that gives an account of what it received."""

import asyncio
import json

from embedded.plain_http import plain_http
from embedded.upstream import Upstream


async def test_it_tells_every_header_in_order_and_repeated():
    async with Upstream.start("one") as upstream, plain_http() as client:
        headers = [("Host", "shop.test"), ("X-Tenant-Id", "a"), ("x-tenant-id", "b")]
        answer = await client.post(f"{upstream.url}/p?q=1", headers=headers, content=b"12345")
        seen = answer.json()
        assert (seen["upstream"], seen["method"], seen["path"], seen["body_size"]) == ("one", "POST", "/p?q=1", 5)
        assert [pair for pair in seen["headers"] if pair[0] == "x-tenant-id"] == [
            ["x-tenant-id", "a"],
            ["x-tenant-id", "b"],
        ]
        assert ["host", "shop.test"] in seen["headers"]
        assert (await client.head(upstream.url)).content == b""
        assert upstream.requests == 2


async def test_one_connection_carries_several_requests_and_an_end():
    async with Upstream.start("one") as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        for path in ("/a", "/b"):
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            (size,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
            assert json.loads(await reader.readexactly(size))["path"] == path
        writer.write(b"nonsense\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_waits_for_100_continue_gets_it():
    async with Upstream.start("one") as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        await reader.readline()
        writer.write(b"ok")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
