from __future__ import annotations

import socket
import stat
from pathlib import Path

import grpc
import pytest

from embedded.ports import free_port
from sidecar.listen import Endpoint, ListenError, TcpAddress, TlsFiles, UnixAddress, parse_address


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
    ["", "unix:", "unix:check.sock", "unix:/" + "x" * 107, "/run/check.sock", "9000", ":9000", "host:", "host:x", "host:-1"]
    + ["host:65536", "::1:9000", "[host]:1", "host:٣"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ListenError) as refusal:
        parse_address(text)
    assert refusal.value.code == "address_invalid"


async def serve(endpoint: Endpoint) -> grpc.aio.Server:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
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
    server = grpc.aio.server()
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


async def test_a_socket_that_somebody_listens_on_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    first = Endpoint(UnixAddress(path), None)
    server = await serve(first)
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(path), None).bind(grpc.aio.server())
    assert refusal.value.code == "address_in_use"
    assert await reachable(f"unix:{path}")
    await server.stop(None)
    first.close()


async def test_a_file_that_is_no_socket_is_left_alone(state_dir):
    path = state_dir / "check.sock"
    path.write_text("somebody's")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(path), None).bind(grpc.aio.server())
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
        Endpoint(TcpAddress("127.0.0.1", 0), None).bind(grpc.aio.server())
    assert refusal.value.code == "tls_required"


async def test_tcp_with_a_missing_file_is_refused(state_dir):
    files = TlsFiles(cert=state_dir / "cert.pem", key=state_dir / "key.pem", client_ca=state_dir / "ca.pem")
    with pytest.raises(ListenError) as refusal:
        Endpoint(TcpAddress("127.0.0.1", 0), files).bind(grpc.aio.server())
    assert refusal.value.code == "tls_unreadable"
    assert "key.pem" in refusal.value.message


async def test_a_directory_that_cannot_be_made_is_refused(state_dir):
    (state_dir / "file").write_text("")
    with pytest.raises(ListenError) as refusal:
        Endpoint(UnixAddress(state_dir / "file" / "check.sock"), None).bind(grpc.aio.server())
    assert refusal.value.code == "address_invalid"


async def test_over_tcp_a_client_needs_a_certificate_of_the_client_ca(state_dir):
    ca = localhost_ca(state_dir)
    endpoint = Endpoint(TcpAddress("127.0.0.1", free_port()), ca.server_files())
    server = await serve(endpoint)
    root, chain, key = ca.client_pair()

    async def call(credentials: grpc.ChannelCredentials) -> grpc.StatusCode:
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(str(endpoint.address), credentials, options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as answer:
                await channel.unary_unary("/none/None")(b"", timeout=5)
        return answer.value.code()

    assert await call(grpc.ssl_channel_credentials(root, key, chain)) is grpc.StatusCode.UNIMPLEMENTED
    assert await call(grpc.ssl_channel_credentials(root)) is grpc.StatusCode.UNAVAILABLE
    assert not await reachable(str(endpoint.address))
    await server.stop(None)
    endpoint.close()
