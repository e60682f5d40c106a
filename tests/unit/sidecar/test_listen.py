from __future__ import annotations

import os
import socket
import stat
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

from embedded.ports import free_port
from sidecar.listen import Endpoint, ListenError, TcpAddress, TlsFiles, UnixAddress, make_server, parse_address


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


async def serve(endpoint: Endpoint) -> grpc.aio.Server:
    server = make_server()
    endpoint.bind(server)
    await server.start()
    endpoint.publish()
    return server


async def reachable(target: str) -> bool:
    async with grpc.aio.insecure_channel(target) as channel:
        try:
            await channel.unary_unary("/none/None")(b"", timeout=2)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return False


async def test_a_unix_socket_and_its_directory_are_for_their_user_only(state_dir):
    path = state_dir / "run" / "check.sock"
    endpoint = Endpoint(UnixAddress(path), None)
    server = await serve(endpoint)
    assert await reachable(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await server.stop(None)
    endpoint.close()
    assert list(path.parent.iterdir()) == []


async def test_a_socket_is_not_there_before_its_server_answers(state_dir):
    path = state_dir / "check.sock"
    endpoint = Endpoint(UnixAddress(path), None)
    server = make_server()
    endpoint.bind(server)
    assert not path.exists()
    await server.start()
    endpoint.publish()
    assert path.is_socket()
    await server.stop(None)
    endpoint.close()


async def test_a_socket_that_nobody_listens_on_is_replaced(state_dir):
    path = state_dir / "check.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    endpoint = Endpoint(UnixAddress(path), None)
    server = await serve(endpoint)
    assert await reachable(f"unix:{path}")
    await server.stop(None)
    endpoint.close()


async def test_a_socket_that_a_killed_process_did_not_publish_is_replaced(state_dir):
    """In a container the next process has the same id, and so the same name before publishing."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(state_dir / f".check.sock.{os.getpid()}"))
    endpoint = Endpoint(UnixAddress(state_dir / "check.sock"), None)
    server = await serve(endpoint)
    assert await reachable(f"unix:{state_dir}/check.sock")
    await server.stop(None)
    endpoint.close()
    assert list(state_dir.iterdir()) == []


async def test_a_socket_that_somebody_listens_on_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    first = Endpoint(UnixAddress(path), None)
    server = await serve(first)
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(path), None).bind(make_server())
    assert refusal.value.code == "address_in_use"
    assert await reachable(f"unix:{path}")
    await server.stop(None)
    first.close()


async def test_a_file_that_is_no_socket_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    path.write_text("somebody's")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(path), None).bind(make_server())
    assert refusal.value.code == "address_in_use"
    assert path.read_text() == "somebody's"


async def test_the_socket_of_a_successor_is_not_removed(state_dir):
    path = state_dir / "check.sock"
    endpoint = Endpoint(UnixAddress(path), None)
    server = await serve(endpoint)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(state_dir / "new"))
        (state_dir / "new").rename(path)
    await server.stop(None)
    endpoint.close()
    assert path.is_socket()


async def test_tcp_without_client_certificates_is_refused():
    with pytest.raises(ListenError) as refusal:
        Endpoint(TcpAddress("127.0.0.1", 0), None).bind(make_server())
    assert refusal.value.code == "tls_required"


async def test_tcp_with_a_missing_file_is_refused(state_dir):
    files = TlsFiles(cert=state_dir / "cert.pem", key=state_dir / "key.pem", client_ca=state_dir / "ca.pem")
    with pytest.raises(ListenError) as refusal:
        Endpoint(TcpAddress("127.0.0.1", 0), files).bind(make_server())
    assert refusal.value.code == "tls_unreadable"
    assert "key.pem" in refusal.value.message


async def test_a_directory_that_cannot_be_made_is_refused(state_dir):
    (state_dir / "file").write_text("")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(state_dir / "file" / "check.sock"), None).bind(make_server())
    assert refusal.value.code == "address_invalid"


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


async def test_over_tcp_a_client_needs_a_certificate_of_the_client_ca(tmp_path):
    ca, strange_ca = pair("ca.test", None), pair("strange.test", None)
    certificate, key = pair("localhost", ca)
    files = TlsFiles(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem", client_ca=tmp_path / "ca.pem")
    files.cert.write_bytes(pem(certificate))
    files.key.write_bytes(key_pem(key))
    files.client_ca.write_bytes(pem(ca[0]))
    endpoint = Endpoint(TcpAddress("127.0.0.1", free_port()), files)
    server = await serve(endpoint)
    files.key.unlink()

    async def call(client: tuple[x509.Certificate, Any] | None) -> grpc.StatusCode:
        credentials = grpc.ssl_channel_credentials(
            pem(ca[0]), key_pem(client[1]) if client else None, pem(client[0]) if client else None
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(str(endpoint.address), credentials, options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as answer:
                await channel.unary_unary("/none/None")(b"", timeout=5)
        return answer.value.code()

    assert await call(pair("envoy.test", ca)) is grpc.StatusCode.UNIMPLEMENTED
    assert await call(None) is grpc.StatusCode.UNAVAILABLE
    assert await call(pair("envoy.test", strange_ca)) is grpc.StatusCode.UNAVAILABLE
    assert not await reachable(str(endpoint.address))
    await server.stop(None)
    endpoint.close()


async def test_a_tcp_port_is_not_shared_with_another_server(tmp_path):
    ca = pair("ca.test", None)
    files = TlsFiles(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem", client_ca=tmp_path / "cert.pem")
    files.cert.write_bytes(pem(ca[0]))
    files.key.write_bytes(key_pem(ca[1]))
    endpoint = Endpoint(TcpAddress("127.0.0.1", 0), files)
    server = await serve(endpoint)
    with pytest.raises(ListenError) as refusal:
        Endpoint(endpoint.address, files).bind(make_server())
    files.key.unlink()
    assert refusal.value.code == "address_in_use"
    await server.stop(None)
