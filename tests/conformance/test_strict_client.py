"""hyper-h2 as a client, which checks all that it receives: fields, states, windows, and the dynamic table it allows."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from conformance.grpc import ONE, STREAM, UNARY, call_fields, message
from conformance.subject import Subject

TABLE, WINDOW = h2.settings.SettingCodes.HEADER_TABLE_SIZE, h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


@pytest.mark.parametrize("table", [4096, 100, 0, 65_536])
@pytest.mark.parametrize("window", [65_535, 10])
async def test_a_strict_client_finds_nothing_wrong(subject: Subject, table: int, window: int) -> None:
    reader, writer = await asyncio.open_unix_connection(str(subject.path))
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
    client.initiate_connection()
    client.update_settings({TABLE: table, WINDOW: window})
    writer.write(client.data_to_send())

    async def events() -> list[h2.events.Event]:
        came = client.receive_data(await reader.read(65_536))  # raises what is wrong
        for event in came:
            if isinstance(event, h2.events.DataReceived):
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        writer.write(client.data_to_send())
        return came

    async with asyncio.timeout(10):
        while not any(
            isinstance(event, h2.events.SettingsAcknowledged) and event.changed_settings for event in await events()
        ):
            pass
        wanted = {}
        for path, body in (
            (UNARY, b"hello"),
            (UNARY, b"fail"),
            (ONE, b"many 3000"),
            (STREAM, b"x" * 300),
            ("/no", b""),
        ):
            stream = client.get_next_available_stream_id()
            wanted[stream] = b"x" * 3000 if body.startswith(b"many") else body
            client.send_headers(stream, call_fields(path))
            client.send_data(stream, message(body), end_stream=True)
        get = client.get_next_available_stream_id()
        client.send_headers(get, [(":method", "GET"), *call_fields()[1:]], end_stream=True)
        writer.write(client.data_to_send())
        bodies: dict[int, bytes] = dict.fromkeys([*wanted, get], b"")
        statuses: dict[int, str] = {}
        left = set(bodies)
        while left:
            for event in await events():
                match event:
                    case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                        bodies[stream] += data
                    case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                        fields = {str(name): str(value) for name, value in event.headers or ()}
                        assert event.stream_id is not None
                        statuses[event.stream_id] = fields.get("grpc-status") or fields.get(":status", "")
                    case h2.events.StreamEnded(stream_id=int(stream)):
                        left.discard(stream)
    writer.close()
    assert [statuses[stream] for stream in sorted(statuses)] == ["0", "5", "0", "0", "12", "405"]
    served = [stream for stream in wanted if statuses[stream] == "0"]
    assert [bodies[stream] for stream in served] == [message(wanted[stream]) for stream in served]
