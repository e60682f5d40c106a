"""The HTTP client against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from scenes.raw_http import CUT, HANG, RawServer, answer, chunked

from embedded.localhost_tls import LocalhostTls
from embedded.ports import free_port
from sidecar.certs import http
from sidecar.certs.connection import MAX_ANSWER, BadAnswer, ConnectionCut, NotConnected
from sidecar.certs.http import HttpClient

GOOD = answer(b"good")
TOKEN = {"X-Vault-Token": "hvs.secret"}


async def get(client: HttpClient, path: str = "a") -> bytes:
    async with asyncio.timeout(20):
        return (await client.request("GET", path, TOKEN)).body


@pytest.fixture
async def client_of():
    made: list[HttpClient] = []

    def make(server: RawServer, path: str = "v1", **options) -> HttpClient:
        client = HttpClient(f"http://127.0.0.1:{server.port}/{path}", **options)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()


async def test_a_request_has_all_that_the_server_needs(client_of):
    async with RawServer.start([GOOD]) as server:
        client = client_of(server, "behind/v1")
        await client.request("POST", "auth/login", {"Content-Type": "application/json"}, b'{"a": 1}')
        await get(client, "secret/data/x?version=3")
    (_, post, body), (_, read, nothing) = server.requests
    host = f"Host: 127.0.0.1:{server.port}"
    assert post.split("\r\n") == [
        "POST /behind/v1/auth/login HTTP/1.1", host, "Content-Type: application/json", "Content-Length: 8", "", "",
    ]  # fmt: skip
    assert read.split("\r\n") == [
        "GET /behind/v1/secret/data/x?version=3 HTTP/1.1", host, "X-Vault-Token: hvs.secret", "", "",
    ]  # fmt: skip
    assert (body, nothing) == (b'{"a": 1}', b"")


@pytest.mark.parametrize(
    "octets",
    [
        answer(b"good"),
        chunked(b"go", b"od"),
        chunked(b"g", b"o", b"o", b"d"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\ngood\r\n0\r\nLocation: /b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(b"good"),
    ],
    ids=["length", "chunks", "small chunks", "extension and trailer", "informational first"],
)
async def test_an_answer_is_read_whole_however_it_comes(client_of, octets):
    async with RawServer.start([octets], [bytes([octet]) for octet in octets]) as server:
        client = client_of(server)
        for _ in range(2):
            whole = await client.request("GET", "a", TOKEN)
            assert (whole.status, whole.body, whole.location) == (200, b"good", None)
        assert server.connections == 1


async def test_as_many_connections_are_kept_as_were_needed_at_once(client_of):
    async with RawServer.start([GOOD]) as server:
        client = client_of(server)
        for _ in range(3):
            assert await asyncio.gather(*(get(client) for _ in range(5))) == [b"good"] * 5
        assert server.connections == 5


async def test_a_connection_that_the_answer_ends_is_not_used_again(client_of):
    async with RawServer.start([answer(b"good", "200 OK", "Connection: close")]) as server:
        client = client_of(server)
        assert [await get(client), await get(client)] == [b"good", b"good"]
        assert server.connections == 2


async def test_a_connection_that_was_idle_for_long_is_not_used_again(client_of, monkeypatch, eventually):
    monkeypatch.setattr(http, "IDLE", -1.0)  # any time is long
    async with RawServer.start([GOOD]) as server:
        client = client_of(server)
        for _ in range(3):
            await get(client)
        assert server.connections == 3
        await eventually(lambda: server.open == 1)


async def test_a_connection_that_was_cut_while_idle_is_made_good(client_of, eventually):
    async with RawServer.start([GOOD], [CUT], [GOOD]) as server:
        client = client_of(server)
        assert [await get(client), await get(client)] == [b"good", b"good"]
        assert [number for number, *_ in server.requests] == [1, 1, 2]


async def test_a_connection_that_was_seen_to_be_cut_is_not_tried(client_of, eventually):
    async with RawServer.start([GOOD, CUT], [CUT], [GOOD]) as server:
        client = client_of(server)
        assert await get(client) == b"good"
        (kept,) = client._idle.values()
        await eventually(lambda: not kept[0].usable)
        assert await get(client) == b"good"  # the one more try was still to be had


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 2", GOOD[:-1], chunked(b"good")[:-1], chunked(b"good")[:-12]])
async def test_a_get_that_is_cut_in_its_answer_is_tried_once_more(client_of, part):
    async with RawServer.start([part, CUT], [GOOD]) as server:
        assert await get(client_of(server)) == b"good"
    async with RawServer.start([part, CUT]) as server:
        with pytest.raises(ConnectionCut):
            await get(client_of(server))
        assert len(server.requests) == 2


async def test_a_post_is_never_sent_twice_nor_on_a_kept_connection(client_of):
    async with RawServer.start([GOOD], [CUT]) as server:
        client = client_of(server)
        await get(client)
        with pytest.raises(ConnectionCut):
            await client.request("POST", "auth/login", {}, b"{}")
        assert [number for number, *_ in server.requests] == [1, 2]


async def test_an_answer_without_a_length_is_taken_for_cut(client_of):
    async with RawServer.start([b"HTTP/1.1 200 OK\r\n\r\ngood", CUT]) as server:
        with pytest.raises(ConnectionCut):
            await get(client_of(server))


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/3.0 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ngood",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\ngood",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 3\r\n\r\ngood",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngood\r\n0\r\n\r\n",
        GOOD + GOOD,
        GOOD + b"more",
        answer(b"good", "200 OK", "Connection: close") + b"more",
    ],
)
async def test_what_is_not_one_answer_is_refused_and_its_connection_ended(client_of, octets, eventually):
    async with RawServer.start([octets, HANG], [GOOD]) as server:
        client = client_of(server)
        with pytest.raises(BadAnswer) as caught:
            await get(client)
        assert str(caught.value) == ""
        await eventually(lambda: server.open == 0)
        assert await get(client) == b"good"


BLOCK = b"x" * 65536


@pytest.mark.parametrize(
    ("head", "block"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", BLOCK),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + BLOCK + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + BLOCK + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", BLOCK),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096),
    ],
    ids=["body", "chunks", "headers", "one header", "informational"],
)
async def test_an_answer_without_end_is_refused_and_not_read_on(client_of, head, block, eventually):
    async with RawServer.start([head, *[block] * 1000]) as server:
        with pytest.raises(BadAnswer):
            await get(client_of(server))
        await eventually(lambda: server.open == 0)


async def test_the_largest_answer_is_taken(client_of):
    size = MAX_ANSWER - len(answer(b"x" * 1_000_000)) + 1_000_000
    async with RawServer.start([answer(b"x" * size)], [answer(b"x" * (size + 1))]) as server:
        client = client_of(server)
        assert len(await get(client)) == size
        with pytest.raises(BadAnswer):
            await get(client)


async def test_what_comes_without_being_asked_for_is_not_taken_for_an_answer(client_of, eventually):
    async with RawServer.start([GOOD]) as server:
        client = client_of(server)
        assert await get(client) == b"good"
        server.push(answer(b"evil"))
        await eventually(lambda: server.open == 0)
        assert await get(client) == b"good"
        assert server.connections == 2


async def test_a_caller_that_gives_up_leaves_no_connection_behind(client_of, eventually):
    async with RawServer.start([GOOD], [GOOD], [HANG], [GOOD]) as server:
        client = client_of(server)
        await asyncio.gather(get(client), get(client))  # one of the two will be idle
        waiting = asyncio.create_task(get(client))
        await eventually(lambda: len(server.requests) == 3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: server.open == 0)
        assert await get(client) == b"good"


async def test_nobody_listens_or_the_name_does_not_resolve(client_of):
    for url in (f"http://127.0.0.1:{free_port()}", "http://nobody.invalid"):
        with pytest.raises(NotConnected):
            await get(HttpClient(url))


async def test_each_address_of_a_name_is_tried(client_of):
    async with RawServer.start([GOOD]) as server:  # on 127.0.0.1 and not on ::1
        client = HttpClient(f"http://localhost:{server.port}")
        assert await get(client) == b"good"
        await client.close()


@pytest.mark.parametrize("status", ["301 x", "302 x", "307 x", "308 x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_standby_node_names_the_active_one(client_of, status, method):
    async with RawServer.start([GOOD]) as active:
        to = f"Location: http://127.0.0.1:{active.port}/v1/b?version=1"
        async with RawServer.start([answer(b"", status, to)]) as standby:
            client = client_of(standby)
            for _ in range(2):
                assert (await client.request(method, "a", TOKEN, b"")).body == b"good"
            assert active.heads() == [f"{method} /v1/b?version=1 HTTP/1.1"] * 2
            assert all(
                f"Host: 127.0.0.1:{active.port}\r\n" in head and "X-Vault-Token: hvs.secret\r\n" in head
                for _, head, _ in active.requests
            )
            if method == "GET":
                assert (active.connections, standby.connections) == (1, 1)


@pytest.mark.parametrize("location", ["/v1/again", "ftp://x/", "http://", "http://[x/", "http://x:y/", "/a b", "\xe9"])
async def test_a_redirect_that_leads_nowhere_is_refused(client_of, location):
    octets = b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n"
    async with RawServer.start([octets]) as server:
        with pytest.raises(BadAnswer):
            await get(client_of(server))
        assert len(server.requests) <= http.REDIRECTS + 1


# --- TLS


@pytest.fixture
def tls(tmp_path):
    return LocalhostTls.create(tmp_path)


def serving(tls: LocalhostTls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


async def test_a_trusted_server_is_asked_and_its_connection_kept(tls):
    async with RawServer.start([GOOD], tls=serving(tls)) as server:
        for host in ("127.0.0.1", "localhost"):
            client = HttpClient(f"https://{host}:{server.port}/v1", ca_file=tls.authority)
            assert [await get(client), await get(client)] == [b"good", b"good"]
            await client.close()
        assert server.connections == 2


@pytest.mark.parametrize("known", [True, False], ids=["another name", "another authority"])
async def test_a_server_that_cannot_be_trusted_is_told_nothing(tls, known):
    async with RawServer.start([GOOD], tls=serving(tls)) as server:
        host = "127.1" if known else "127.0.0.1"  # the same address
        _, writer = await asyncio.open_connection(host, server.port)  # so it is not for want of a listener
        writer.close()
        await writer.wait_closed()
        client = HttpClient(f"https://{host}:{server.port}/v1", ca_file=tls.authority if known else None)
        with pytest.raises(NotConnected):
            await get(client)
        assert server.requests == []


async def test_a_redirect_does_not_leave_tls(tls):
    async with RawServer.start([GOOD]) as plain:
        to = f"Location: http://127.0.0.1:{plain.port}/v1/a"
        async with RawServer.start([answer(b"", "307 x", to)], tls=serving(tls)) as server:
            client = HttpClient(f"https://127.0.0.1:{server.port}/v1", ca_file=tls.authority)
            with pytest.raises(BadAnswer):
                await get(client)
            await client.close()
        assert plain.connections == 0


async def test_a_redirect_to_tls_is_followed_and_checked(tls):
    async with RawServer.start([GOOD], tls=serving(tls)) as server:
        to = f"Location: https://127.0.0.1:{server.port}/v1/a"
        async with RawServer.start([answer(b"", "308 x", to)]) as plain:
            for ca_file, outcome in ((tls.authority, b"good"), (None, None)):
                client = HttpClient(f"http://127.0.0.1:{plain.port}/v1", ca_file=ca_file)
                if outcome is None:
                    with pytest.raises(NotConnected):
                        await get(client)
                else:
                    assert await get(client) == outcome
                await client.close()
