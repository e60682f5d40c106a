"""What strangers' HTTP servers do, found on real sockets: at 127.0.0.2, which is none of the platform's addresses."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from ipaddress import ip_network

import pytest
from scenes.preflight import FACTS, HOST, NOW, OTHER, TOKEN, V4, codes, domain, of, response

from control.preflight.probe import ProbeToken
from embedded.localhost_tls import LocalhostTls

WELL_KNOWN = "/.well-known/acme-challenge/probe-token"


@pytest.fixture
async def elsewhere(scene):
    """A scene whose name leads to another server."""
    scene.dns.add(HOST, "A", OTHER)
    return scene


async def found(scene, **arguments):
    """What was found at the other server."""
    report = await scene.examine(**arguments)
    check = of(report, "port80")
    return check, check.found[OTHER]


async def test_a_proxy_before_the_platform_is_a_warning(elsewhere):
    report = await elsewhere.examine()
    assert codes(report)["addresses"] == "addresses_proxied"
    assert codes(report)["port80"] == "port80_answers"
    assert report.ok
    assert not of(report, "addresses").ok


async def test_another_server_is_told_by_what_it_says(elsewhere):
    elsewhere.answers[OTHER] = lambda _: response("404 Not Found", b"<h1>Not\x00 Found</h1>", Server="Apache\t2.4")
    check, what = await found(elsewhere)
    assert (check.code, check.blocking, check.who) == ("port80_wrong_answer", True, "tenant")
    assert OTHER in check.message
    assert what == {
        "result": "wrong_answer",
        "status": 404,
        "body": "<h1>Not\\x00 Found</h1>",
        "server": "Apache\\t2.4",
    }


async def test_the_platforms_own_address_is_the_operators(scene):
    scene.dns.add(HOST, "A", V4)
    scene.answers[V4] = lambda _: response("503 Service Unavailable", b"down")
    finding = (await scene.examine()).finding(NOW)
    assert (finding.code, finding.who) == ("port80_platform_wrong_answer", "operator")


async def test_one_address_of_several_is_enough_to_fail(elsewhere):
    elsewhere.dns.add(HOST, "A", V4)
    elsewhere.answers[OTHER] = lambda _: response("200 OK", b"hello")
    report = await elsewhere.examine()
    check = of(report, "port80")
    assert check.code == "port80_wrong_answer"
    assert check.found[V4] == {"result": "answered", "status": 200}
    assert codes(report)["addresses"] == "addresses_elsewhere"


async def test_white_space_after_the_answer_does_not_matter(elsewhere):
    elsewhere.answers[OTHER] = lambda _: response("200 OK", TOKEN.key_authorization.encode() + b"\r\n \n")
    assert (await found(elsewhere))[1]["result"] == "answered"


async def test_the_right_body_with_another_status_is_wrong(elsewhere):
    elsewhere.answers[OTHER] = lambda _: response("404 Not Found", TOKEN.key_authorization.encode())
    assert (await found(elsewhere))[1]["result"] == "wrong_answer"


# --- redirects


async def test_a_redirect_to_the_same_host_is_followed_there(elsewhere):
    def answer(request):
        if request.path == WELL_KNOWN:
            return response("301 Moved Permanently", Location=f"http://{HOST.upper()}/moved?a=b")
        assert request.path == "/moved?a=b"
        return response("200 OK", TOKEN.key_authorization.encode())

    elsewhere.answers[OTHER] = answer
    assert (await found(elsewhere))[1] == {"result": "answered", "status": 200}
    assert {(one.address, one.host) for one in elsewhere.requests} == {(OTHER, HOST)}


async def test_a_redirect_to_https_is_followed_whatever_the_certificate(elsewhere, state_dir):
    files = LocalhostTls.create(state_dir)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    files.key.unlink()
    names = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response("200 OK", TOKEN.key_authorization.encode()))
        await writer.drain()
        writer.close()

    elsewhere.answers[OTHER] = lambda request: response("308 Moved", Location=f"https://{HOST}{request.path}")
    async with await asyncio.start_server(serve, OTHER, 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await found(elsewhere, https_port=port))[1]["result"] == "answered"
    assert names == [HOST]


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.example/",
        f"http://{HOST}:8080/",
        f"https://{HOST}:8443/",
        f"ftp://{HOST}/",
        "//evil.example/x",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1",
        f"http://{HOST}:99999/",
        f"http://user@{HOST}:abc/",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_elsewhere_is_told_and_not_followed(elsewhere, location):
    elsewhere.answers[OTHER] = lambda _: response("302 Found", Location=location, Server="nginx")
    check, what = await found(elsewhere)
    assert (check.code, check.blocking, check.who) == ("port80_redirected", True, "tenant")
    assert what == {"result": "redirected", "status": 302, "server": "nginx", "location": location}
    assert len(elsewhere.requests) == 1


async def test_redirects_without_end_are_given_up(elsewhere):
    elsewhere.answers[OTHER] = lambda request: response("302 Found", Location=request.path + "x")
    assert (await found(elsewhere))[1]["result"] == "redirected"
    assert len(elsewhere.requests) == 4


async def test_a_redirect_that_names_no_place_is_an_answer(elsewhere):
    elsewhere.answers[OTHER] = lambda _: response("302 Found", b"where?")
    assert (await found(elsewhere))[1] == {"result": "wrong_answer", "status": 302, "body": "where?"}


# --- servers that are none


async def test_a_port_where_nobody_listens_is_unreachable(elsewhere, ports):
    (port,) = ports(1)
    check, what = await found(elsewhere, port=port)
    assert (check.code, check.blocking, check.who) == ("port80_unreachable", True, "tenant")
    assert what == {"result": "unreachable", "error": "no connection"}


async def test_the_platforms_own_port_out_of_reach_blocks_nobody(scene, ports):
    scene.dns.add(HOST, "A", V4)
    (port,) = ports(1)
    report = await scene.examine(port=port)
    assert codes(report)["port80"] == "port80_platform_unreachable"
    assert report.ok


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff" * 500,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 999 \r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://\xff\xfe/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
    ],
)
async def test_bytes_that_are_no_answer_are_told_as_such(elsewhere, sent):
    elsewhere.answers[OTHER] = lambda _: sent
    check, what = await found(elsewhere)
    assert check.blocking
    assert what["result"] in {"unreachable", "wrong_answer", "redirected"}


async def test_a_body_without_end_is_left_after_its_beginning(elsewhere):
    ended = asyncio.Event()

    async def flood(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + TOKEN.key_authorization.encode())
            while True:  # until the other side has had enough
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            ended.set()
        finally:
            writer.close()

    async with await asyncio.start_server(flood, OTHER, 0) as server:
        check, what = await found(elsewhere, port=server.sockets[0].getsockname()[1])
        await ended.wait()
    assert check.code == "port80_wrong_answer"
    assert what["body"].startswith(TOKEN.key_authorization)
    assert len(what["body"]) <= 80


async def test_a_compressed_bomb_stays_compressed(elsewhere):
    bomb = gzip.compress(b"0" * 50_000_000)
    elsewhere.answers[OTHER] = lambda _: response("200 OK", bomb, Content_Encoding="gzip")
    assert (await found(elsewhere))[1]["result"] == "wrong_answer"


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 200"])
async def test_a_server_that_falls_silent_is_left(elsewhere, beginning):
    ended = asyncio.Event()

    async def silence(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(beginning)
            await reader.read()  # until the other side has had enough
        finally:
            ended.set()
            writer.close()

    async with await asyncio.start_server(silence, OTHER, 0) as server:
        preflight = elsewhere.preflight(port=server.sockets[0].getsockname()[1], next_within=0.5)
        report = await preflight.examine(domain(), FACTS, challenge="http-01", token=TOKEN)
        assert of(report, "port80").found[OTHER]["error"] == "no answer in time"
        await ended.wait()


async def test_a_family_without_a_route_from_here_is_not_held_against_a_proxy(elsewhere):
    elsewhere.dns.add(HOST, "AAAA", "2606:4700::1")
    report = await elsewhere.examine(route=lambda address: address.version == 4)
    assert of(report, "port80").found["2606:4700::1"] == {"result": "untried", "error": "no route from here"}
    assert (codes(report)["port80"], codes(report)["addresses"]) == ("port80_answers", "addresses_proxied")
    assert report.ok


async def test_without_a_proxy_it_is_elsewhere_all_the_same(scene):
    scene.dns.add(HOST, "A", V4)
    scene.dns.add(HOST, "AAAA", "2606:4700::1")
    report = await scene.examine(route=lambda address: address.version == 4)
    assert codes(report)["addresses"] == "ipv6_elsewhere"
    nowhere = await scene.examine(route=lambda _address: False)
    assert codes(nowhere)["port80"] == "port80_untried"


async def test_a_proxy_with_many_addresses_is_one(scene):
    for number in range(2, 12):
        scene.dns.add(HOST, "A", f"127.0.0.{number}")
    report = await scene.preflight(allowed=[ip_network("127.0.0.0/24")], route=only_other).examine(
        domain(), FACTS, challenge="http-01", token=TOKEN
    )
    assert codes(report)["addresses"] == "addresses_proxied"


def only_other(address):
    return str(address) == OTHER


async def test_only_a_few_of_many_addresses_are_tried(scene):
    for number in range(2, 40):
        scene.dns.add(HOST, "A", f"127.0.1.{number}")
    report = await scene.examine()
    assert len(of(report, "port80").found) == 4
    assert len(of(report, "addresses").found["A"]) == 10


@pytest.mark.parametrize(
    ("kind", "address", "why"),
    [
        ("A", "10.0.0.1", "private"),
        ("A", "127.0.0.3", "loopback"),
        ("A", "169.254.169.254", "link-local"),
        ("A", "0.0.0.0", "unspecified"),
        ("A", "224.0.0.1", "multicast"),
        ("AAAA", "::ffff:127.0.0.1", "IPv4-mapped"),
        ("AAAA", "fe80::1", "link-local"),
        ("AAAA", "fd00::1", "private"),
        ("AAAA", "64:ff9b::7f00:1", "NAT64"),
        ("AAAA", "2002:7f00:1::", "6to4"),
    ],
)
async def test_nothing_is_connected_to_that_is_not_public(scene, kind, address, why):
    scene.dns.add(HOST, kind, address)
    report = await scene.examine()
    check = of(report, "port80")
    assert (check.code, check.blocking, check.who) == ("port80_address_forbidden", True, "tenant")
    assert list(check.found.values()) == [{"result": "forbidden", "error": why}]
    assert scene.requests == []


def test_a_token_of_our_own_looks_like_a_cas():
    token = ProbeToken.random()
    assert token.key_authorization.startswith(token.token + ".")
    assert token.key_authorization not in repr(token)
    assert ProbeToken.random() != token
