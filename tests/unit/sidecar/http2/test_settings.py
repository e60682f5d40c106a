"""SETTINGS (RFC 9113 6.5): what we announce, and what the peer's do."""

from __future__ import annotations

import hpack
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import REQUEST, ErrorCode, Limits


def announced(client: Client) -> dict[int, int]:
    (frame,) = [frame for frame in client.of(wire.SETTINGS) if not frame.flags & wire.ACK]
    pairs = [frame.payload[start : start + 6] for start in range(0, len(frame.payload), 6)]
    return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}


def test_our_settings_come_first_and_say_the_limits() -> None:
    client = Client(greet=False)
    assert client.frames[0].kind == wire.SETTINGS
    assert announced(client) == {3: 1_024, 4: 4 * 2**20, 6: 32_768}


def test_a_table_of_another_size_is_announced() -> None:
    assert announced(Client(Limits(header_table=0), greet=False))[1] == 0


def test_each_settings_is_acknowledged_and_no_acknowledgement_is() -> None:
    client = Client()
    client.frames.clear()
    client.send(wire.settings((3, 5)), wire.settings(), wire.settings(ack=True))
    assert [(frame.flags, frame.payload) for frame in client.of(wire.SETTINGS)] == [(wire.ACK, b"")] * 2


def test_the_last_value_of_a_setting_counts() -> None:
    client = Client()
    client.send(wire.settings((4, 100), (4, 1)), wire.headers(1, end=True))
    client.connection.reply(1, ANSWER)
    client.take()
    assert len(client.body(1)) == 1


def blocks(client: Client) -> list[bytes]:
    return [frame.payload for frame in client.of(wire.HEADERS)]


def test_a_peer_that_reduces_its_table_hears_in_our_next_block_that_we_follow() -> None:
    client = Client()
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    client.send(wire.settings((1, 0)))
    for stream_id in (1, 3):
        client.send(wire.headers(stream_id, end=True))
        client.connection.reply(stream_id, ANSWER)
    client.take()
    assert [block[:1] == b"\x20" for block in blocks(client)] == [True, False, False, False]
    assert [len(decoder.decode(block)) for block in blocks(client)] == [2, 1, 2, 1]


def test_a_peer_whose_table_is_as_large_or_larger_hears_nothing() -> None:
    client = Client()
    client.send(wire.settings((1, 4_096), (1, 65_536)), wire.headers(1, end=True))
    client.connection.reply(1, ANSWER)
    client.take()
    assert blocks(client)[0] == ANSWER.headers


def test_a_table_that_shrank_and_grew_again_between_two_blocks_is_followed_to_its_least() -> None:
    client = Client()
    client.send(wire.settings((1, 100)), wire.settings((1, 4_096)), wire.headers(1, end=True))
    client.connection.reply(1, ANSWER)
    client.take()
    assert blocks(client)[0][:1] == b"\x20"


def test_a_peer_that_does_not_shrink_its_table_to_ours_is_cut() -> None:
    client = Client(Limits(header_table=0), greet=False)
    client.send(wire.PREFACE, wire.settings(), wire.headers(1))
    assert client.goaway is None, "it may not have read our SETTINGS"
    client.send(wire.settings(ack=True), wire.headers(3))
    assert client.goaway == ErrorCode.COMPRESSION_ERROR


def test_a_peer_that_shrinks_its_table_to_ours_is_served() -> None:
    client = Client(Limits(header_table=0))
    shrink = wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x20" + wire.literal(wire.REQUEST))
    assert client.send(shrink)[0][:2] == (REQUEST, 1)
    assert client.send(wire.headers(3))[0][:2] == (REQUEST, 3)
    grow = wire.frame(wire.HEADERS, wire.END_HEADERS, 5, b"\x21" + wire.literal(wire.REQUEST))
    client.send(grow)
    assert client.goaway == ErrorCode.COMPRESSION_ERROR
