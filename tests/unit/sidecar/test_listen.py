from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sidecar.grpcfast import Server
from sidecar.listen import Endpoint, ListenError, TcpAddress, TlsFiles, UnixAddress, bind_tcp, parse_address
from sidecar.socket_path import Holder


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/nameplate/check.sock", UnixAddress(Path("/run/nameplate/check.sock"))),
        ("127.0.0.1:9000", TcpAddress("127.0.0.1", 9000)),
        ("[::1]:9000", TcpAddress("::1", 9000)),
        ("sidecar.internal:0", TcpAddress("sidecar.internal", 0)),
    ],
)
def test_an_address_is_read_and_written_alike(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:check.sock",
        "unix:/" + "x" * 107,
        "/run/check.sock",
        "9000",
        ":9000",
        "host:",
        "host:x",
        "host:-1",
        "host:65536",
        "::1:9000",
        "[host:1",
        "host]:1",
        "host:٣",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ListenError) as refusal:
        parse_address(text)
    assert refusal.value.code == "address_invalid"


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[Server]:
    server = Server({})
    endpoint.bind()
    await endpoint.publish(server.protocol)
    try:
        yield server
    finally:
        endpoint.close()
        server.drain()
        await server.wait_closed(1)


async def reachable(target: str) -> bool:
    async with grpc.aio.insecure_channel(target) as channel:
        try:
            await channel.unary_unary("/none/None")(b"", timeout=2)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return False


# --- Unix sockets


async def test_a_unix_socket_and_its_directory_are_for_their_user_only(state_dir):
    path = state_dir / "run" / "check.sock"
    async with serving(Endpoint(UnixAddress(path), None)):
        assert await reachable(f"unix:{path}")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == []


async def test_a_socket_is_not_there_before_its_server_answers(state_dir):
    path = state_dir / "check.sock"
    endpoint = Endpoint(UnixAddress(path), None)
    endpoint.bind()
    assert not path.exists()
    assert endpoint.holder() is Holder.NOBODY
    await endpoint.publish(Server({}).protocol)
    assert path.is_socket()
    assert endpoint.holder() is Holder.US
    endpoint.close()


async def test_nobody_can_connect_to_a_socket_that_is_only_bound(state_dir):
    endpoint = Endpoint(UnixAddress(state_dir / "check.sock"), None)
    endpoint.bind()
    (beside,) = state_dir.iterdir()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(beside))
    endpoint.close()
    assert list(state_dir.iterdir()) == []


@pytest.mark.parametrize("name", ["check.sock", f".check.sock.{os.getpid()}"])
async def test_a_socket_that_a_killed_process_left_is_replaced(state_dir, name):
    """Also one that it had not published: in a container the next process has the same id, and so the same name."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(state_dir / name))
    async with serving(Endpoint(UnixAddress(state_dir / "check.sock"), None)):
        assert await reachable(f"unix:{state_dir}/check.sock")
    assert list(state_dir.iterdir()) == []


async def test_a_socket_that_somebody_listens_on_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    async with serving(Endpoint(UnixAddress(path), None)):
        with pytest.raises(ListenError) as refusal:
            Endpoint(UnixAddress(path), None).bind()
        assert refusal.value.code == "address_in_use"
        assert await reachable(f"unix:{path}")
        assert list(state_dir.iterdir()) == [path]


async def test_a_socket_whose_queue_is_full_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(path))
        busy.listen(0)
        client.connect(str(path))
        with pytest.raises(ListenError) as refusal:
            Endpoint(UnixAddress(path), None).bind()
    assert refusal.value.code == "address_in_use"


async def test_a_file_that_is_no_socket_is_left_alone_even_by_a_replacement(state_dir):
    path = state_dir / "check.sock"
    path.write_text("somebody's")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(path), None, replace=True).bind()
    assert refusal.value.code == "address_in_use"
    assert path.read_text() == "somebody's"


async def test_a_directory_that_cannot_be_made_is_refused(state_dir):
    (state_dir / "file").write_text("")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(state_dir / "file" / "check.sock"), None).bind()
    assert refusal.value.code == "address_invalid"


# --- one process after another. Their names beside the socket differ by the process id, so here the path does.


async def test_a_successor_takes_the_name_and_who_was_connecting_is_served_by_the_one_before(state_dir, monkeypatch):
    path = state_dir / "check.sock"
    first = Endpoint(UnixAddress(path), None)
    async with serving(first) as server:
        inode = path.stat().st_ino
        with monkeypatch.context() as another:
            another.setattr("os.getpid", lambda: 1)
            second = Endpoint(UnixAddress(path), None, replace=True)
            second.bind()
        assert path.stat().st_ino == inode
        assert first.holder() is Holder.US
        with socket.socket(socket.AF_UNIX) as early:
            early.setblocking(False)
            early.connect(str(path))  # into the queue of the first, which nobody has looked at yet
            successor = Server({})
            await second.publish(successor.protocol)
            assert (first.holder(), second.holder()) == (Holder.ANOTHER, Holder.US)
            assert server.connections == 0
            await first.withdraw()
            assert server.connections == 1
            assert path.stat().st_ino != inode
        assert await reachable(f"unix:{path}")
        assert successor.counters.connections >= 1
        second.close()
        successor.drain()
        await successor.wait_closed(1)
    assert list(state_dir.iterdir()) == []


async def test_a_name_that_is_gone_or_leads_to_a_dead_socket_is_nobodys(state_dir):
    path = state_dir / "check.sock"
    endpoint = Endpoint(UnixAddress(path), None)
    async with serving(endpoint):
        path.unlink()
        assert endpoint.holder() is Holder.NOBODY
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        assert endpoint.holder() is Holder.NOBODY
    assert path.is_socket(), "it was not ours to remove"


# --- TCP


async def test_tcp_without_client_certificates_is_refused():
    with pytest.raises(ListenError) as refusal:
        Endpoint(TcpAddress("127.0.0.1", 0), None).bind()
    assert refusal.value.code == "tls_required"


def pair(name: str, issuer: tuple[x509.Certificate, Any] | None) -> tuple[x509.Certificate, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Identities:
    files: TlsFiles
    ca: tuple[x509.Certificate, Any]
    strange_ca: tuple[x509.Certificate, Any]


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    ca, strange_ca = pair("ca.test", None), pair("strange.test", None)
    certificate, key = pair("localhost", ca)
    files = TlsFiles(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem", client_ca=tmp_path / "ca.pem")
    files.cert.write_bytes(pem(certificate))
    files.key.write_bytes(key_pem(key))
    files.client_ca.write_bytes(pem(ca[0]))
    return Identities(files, ca, strange_ca)


@pytest.mark.parametrize("file", ["cert", "key", "client_ca"])
async def test_tcp_with_a_file_that_is_missing_or_broken_is_refused(identities, file):
    path = getattr(identities.files, file)
    for broken in (True, False):
        path.write_text("-----BEGIN") if broken else path.unlink()
        with pytest.raises(ListenError) as refusal:
            Endpoint(TcpAddress("127.0.0.1", 0), identities.files).bind()
        assert refusal.value.code == "tls_unreadable"
        assert path.name in refusal.value.message


async def test_over_tcp_a_client_needs_a_certificate_of_the_client_ca(identities):
    ca = identities.ca

    async def call(client: tuple[x509.Certificate, Any] | None) -> grpc.StatusCode:
        credentials = grpc.ssl_channel_credentials(
            pem(ca[0]), key_pem(client[1]) if client else None, pem(client[0]) if client else None
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(str(endpoint.address), credentials, options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as answer:
                await channel.unary_unary("/none/None")(b"", timeout=5)
        return answer.value.code()

    endpoint = Endpoint(TcpAddress("127.0.0.1", 0), identities.files)
    async with serving(endpoint):
        assert await call(pair("envoy.test", ca)) is grpc.StatusCode.UNIMPLEMENTED
        assert await call(None) is grpc.StatusCode.UNAVAILABLE
        assert await call(pair("envoy.test", identities.strange_ca)) is grpc.StatusCode.UNAVAILABLE
        assert not await reachable(str(endpoint.address))


def test_tls_is_1_2_or_newer_with_ciphers_that_http_2_allows(identities):
    """RFC 9113, 9.2.2 and appendix A: TLS 1.2 needs an ephemeral key exchange and an AEAD."""
    context = identities.files.context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old
    assert [name for name in old if not name.startswith("ECDHE-") or not ("GCM" in name or "POLY1305" in name)] == []


async def test_a_tcp_port_is_not_shared_with_another_server(identities):
    endpoint = Endpoint(TcpAddress("127.0.0.1", 0), identities.files)
    async with serving(endpoint):
        with pytest.raises(ListenError) as refusal:
            Endpoint(endpoint.address, identities.files).bind()
        assert refusal.value.code == "address_in_use"


async def test_a_successor_shares_a_tcp_port_and_has_it_alone_when_the_one_before_is_gone():
    first = bind_tcp(TcpAddress("127.0.0.1", 0), replace=False)
    address = TcpAddress("127.0.0.1", first.getsockname()[1])
    with first, bind_tcp(address, replace=True) as second:
        first.listen()
        for _ in range(8):
            socket.create_connection((address.host, address.port)).close()
        second.listen()
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.accept()  # until it listened, all went to the first
        first.close()
        with socket.create_connection((address.host, address.port)):
            second.accept()[0].close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_answers_over_tcp_do_not_wait_for_acknowledgements(host):
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[int] = loop.create_future()

    class Taken(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    with bind_tcp(TcpAddress(host, 0), replace=False) as bound:
        async with await loop.create_server(Taken, sock=bound):
            with socket.create_connection(bound.getsockname()[:2]):
                assert await accepted == 1
