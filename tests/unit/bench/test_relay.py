"""What the relay counts, against h2's and real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h2.config
import h2.connection
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.message import framed
from bench.relay import Counted, Messages, Relay
from embedded import listener

FRAME = 16_384


def conversation(messages: list[tuple[int, bytes]], cut_at: int) -> tuple[bytes, bytes]:
    """Both directions of a connection in which each side says the messages, each on one of some streams."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client.initiate_connection()
    server.initiate_connection()
    up, down = bytearray(), bytearray()

    def carry() -> None:
        said = client.data_to_send()
        up.extend(said)
        for event in server.receive_data(said):
            if isinstance(event, h2.events.DataReceived):
                server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.RequestReceived):
                server.send_headers(event.stream_id, [(":status", "200")])
        answered = server.data_to_send()
        down.extend(answered)
        for event in client.receive_data(answered):
            if isinstance(event, h2.events.DataReceived):
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    opened: dict[int, int] = {}
    for number, message in messages:
        if number not in opened:
            opened[number] = client.get_next_available_stream_id()
            client.send_headers(
                opened[number], [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "x")]
            )
            carry()
        data = framed(message)
        for side in (client, server):
            for at in range(0, len(data), cut_at):
                side.send_data(opened[number], data[at : at + cut_at])
                carry()
    carry()
    return bytes(up), bytes(down)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=6),
    st.integers(1, 64),
    st.data(),
)
def test_messages_are_counted_however_frames_and_bytes_are_cut(
    messages: list[tuple[int, bytes]], cut_at: int, data: st.DataObject
) -> None:
    for way, preface in zip(conversation(messages, cut_at), (True, False), strict=True):
        counted = Counted()
        reader = Messages(counted, preface=preface)
        rest = way
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            reader.feed(rest[:size])
            rest = rest[size:]
        assert counted.messages == len(messages)
        assert counted.octets == len(way)
        assert counted.largest == max((len(message) for _, message in messages), default=0)


def test_a_message_of_many_frames_is_one() -> None:
    up, _ = conversation([(0, b"x" * 100_000)], FRAME)
    counted = Counted()
    Messages(counted, preface=True).feed(up)
    assert (counted.messages, counted.largest) == (1, 100_000)


@asynccontextmanager
async def echo(path: Path) -> AsyncIterator[None]:
    ended = asyncio.Semaphore(0)
    begun = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        while data := await reader.read(1000):
            writer.write(data)
        await close(writer)
        ended.release()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        await listener.close(server)
        for _ in range(begun):
            await ended.acquire()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_it_carries_both_ways_and_counts_the_bytes(state_dir: Path) -> None:
    async with echo(state_dir / "target"), Relay.start(state_dir / "relay", state_dir / "target") as relay:
        reader, writer = await asyncio.open_unix_connection(relay.path)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await relay.until(lambda: relay.down.octets == 5)
        assert (relay.up.octets, relay.connections) == (5, 1)
        await relay.quiet(0.01)
        await close(writer)


async def test_a_cut_ends_what_is_open_and_a_new_connection_is_announced_first(state_dir: Path) -> None:
    async with echo(state_dir / "target"), Relay.start(state_dir / "relay", state_dir / "target") as relay:
        announced: list[int] = []
        relay.on_connection = lambda: announced.append(relay.up.octets)
        reader, writer = await asyncio.open_unix_connection(relay.path)
        writer.write(b"hello")
        await reader.readexactly(5)
        await relay.cut()
        assert await reader.read() == b""
        await close(writer)
        reader, writer = await asyncio.open_unix_connection(relay.path)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        await close(writer)
        assert announced == [0, 5]


async def test_a_target_that_is_away_is_a_closed_connection(state_dir: Path) -> None:
    async with Relay.start(state_dir / "relay", state_dir / "nobody") as relay:
        reader, writer = await asyncio.open_unix_connection(relay.path)
        assert await reader.read() == b""
        await close(writer)


async def test_what_never_passes_is_not_waited_for_without_end(state_dir: Path) -> None:
    async with Relay.start(state_dir / "relay", state_dir / "nobody") as relay:
        with pytest.raises(TimeoutError):
            await relay.until(lambda: False, patience=0.01)
