"""The asker against h2's server on a socket."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from bench.load.ask import Asker
from bench.load.message import framed
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

TENANT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def allowed() -> bytes:
    response = CheckResponse()
    option = response.ok_response.headers.add()
    option.header.key, option.header.value = "x-tenant-id", TENANT
    return response.SerializeToString()


def serve(listening: socket.socket, asked: list[str]) -> None:
    """One connection: the first name is allowed, all others are denied."""
    connection, _ = listening.accept()
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    peer.initiate_connection()
    with connection:
        while data := connection.recv(65536):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.data:
                    asked.append(CheckRequest.FromString(event.data[5:]).attributes.request.http.host)
                    peer.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    peer.send_data(event.stream_id, framed(allowed() if len(asked) == 1 else b""))
                    peer.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
            connection.sendall(peer.data_to_send())


def test_a_tenant_is_read_from_the_answer_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        server = threading.Thread(target=serve, args=(listening, asked))
        server.start()
        asker = Asker(str(tmp_path / "s"))
        assert asker.tenant(1) == TENANT
        assert asker.tenant(2) is None
        assert not asker._client._in, "answers are read again with each question"
        asker.close()
        server.join()
    assert asked == ["d0000001.shops.test", "d0000002.shops.test"]
