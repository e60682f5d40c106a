"""The client of a discovery stream against h2's server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from bench.load.discovery import DELTA_PATH, REMOVED, Discovery
from bench.load.engine import OK, closed_loop
from bench.load.message import framed
from bench.names import hostname
from sidecar.certs.secrets import SECRET_TYPE
from sidecar.wire import discovery_pb2 as wire

PREFIX = 5


class Peer:
    """One connection. Even names are served, odd ones removed, each in a response of its own."""

    def __init__(self, listening: socket.socket, *, grants: bool = True) -> None:
        self.heard: list[wire.DeltaDiscoveryRequest] = []
        self.headers: dict[bytes, bytes] = {}
        self._listening = listening
        self._grants = grants
        self._in = bytearray()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, suppress(OSError):  # the client ends it while it is answered
            self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while data := connection.recv(65_536):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.headers = dict(event.headers)
                    peer.send_headers(event.stream_id, [(":status", "200")])
                elif isinstance(event, h2.events.DataReceived):
                    if self._grants:
                        peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self._in += event.data
                    self._answer(peer, event.stream_id)
            connection.sendall(peer.data_to_send())

    def _answer(self, peer: h2.connection.H2Connection, stream: int) -> None:
        while len(self._in) >= PREFIX and len(self._in) >= (end := PREFIX + int.from_bytes(self._in[1:PREFIX], "big")):
            request = wire.DeltaDiscoveryRequest.FromString(bytes(self._in[PREFIX:end]))
            del self._in[:end]
            self.heard.append(request)
            for name in request.resource_names_subscribe:
                response = wire.DeltaDiscoveryResponse(type_url=SECRET_TYPE, nonce=f"of {name}")
                if name.startswith("d") and int(name[1:8]) % 2 == 0:
                    response.resources.append(wire.Resource(name=name, version="1", resource=b""))
                else:
                    response.removed_resources.append(name)
                peer.send_data(stream, framed(response.SerializeToString()))


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen()
    return made


def test_each_name_is_asked_for_once_and_each_response_acknowledged(state_dir: Path) -> None:
    with listening(state_dir / "s") as sock:
        peer = Peer(sock)
        target = Discovery(str(state_dir / "s"), hostname)
        samples = closed_loop(target, 4, 10, limit=100)
        target.flush()  # the last acknowledgement
        target.close()
        peer.thread.join()
    assert samples.outcomes == {OK: 50, REMOVED: 50}
    assert peer.headers[b":path"] == DELTA_PATH
    assert b"grpc-timeout" not in peer.headers  # a stream has no end
    asked = [name for request in peer.heard for name in request.resource_names_subscribe]
    assert sorted(asked) == [hostname(number) for number in range(100)]
    assert {request.response_nonce for request in peer.heard} == {"", *(f"of {name}" for name in asked)}
    assert [bool(request.node.id) for request in peer.heard] == [True] + [False] * (len(peer.heard) - 1)


def test_no_more_is_sent_than_the_server_has_room_for(state_dir: Path) -> None:
    """A server that grants nothing has 65,535 bytes of room on the stream."""
    with listening(state_dir / "s") as sock:
        peer = Peer(sock, grants=False)
        target = Discovery(str(state_dir / "s"), hostname)
        tickets = 0
        while target.submit(tickets):
            tickets += 1
        assert 300 < tickets < 65_535 / 80
        target.close()
        peer.thread.join()
