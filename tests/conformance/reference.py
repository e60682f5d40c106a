"""The unary echo of `subject` on hyper-h2: what another codec makes of the same bytes."""

from __future__ import annotations

import asyncio
from typing import cast

import h2.config
import h2.connection
import h2.events
from conformance.grpc import UNARY

GRPC = (("content-type", "application/grpc"),)


class Reference(asyncio.Protocol):
    def __init__(self) -> None:
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connection.initiate_connection()
        self._transport.write(self._connection.data_to_send())

    def data_received(self, chunk: bytes) -> None:
        for event in self._connection.receive_data(chunk):
            match event:
                case h2.events.RequestReceived(stream_id=int(stream), headers=list(fields)):
                    self._requests[stream] = ({str(name): str(value) for name, value in fields}, bytearray())
                case h2.events.DataReceived(stream_id=int(stream), data=bytes(payload)):
                    self._connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    self._requests[stream][1].extend(payload)
                case h2.events.StreamEnded(stream_id=int(stream)):
                    self._answer(stream, *self._requests.pop(stream))
                case h2.events.StreamReset(stream_id=int(stream)):
                    self._requests.pop(stream, None)
        self._transport.write(self._connection.data_to_send())

    def _answer(self, stream: int, fields: dict[str, str], body: bytearray) -> None:
        send = self._connection.send_headers
        if fields[":method"] != "POST":
            send(stream, [(":status", "405")], end_stream=True)
        elif fields.get("content-type") != "application/grpc":
            send(stream, [(":status", "415")], end_stream=True)
        elif fields[":path"] != UNARY:
            send(stream, [(":status", "200"), *GRPC, ("grpc-status", "12")], end_stream=True)
        elif len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
            send(stream, [(":status", "200"), *GRPC, ("grpc-status", "13")], end_stream=True)
        else:
            send(stream, [(":status", "200"), *GRPC])
            self._connection.send_data(stream, bytes(body))
            send(stream, [("grpc-status", "0")], end_stream=True)
