"""A second opinion: both directions of a connection read from their frames alone, and what the server may not do.

It shares nothing with the codec but the RFC. It is fed the peer's frames one by one and the output after each, so it
always knows the windows that the server knew. What is checked:

- frames are whole, at most 16,384 bytes, header blocks unbroken and decodable in their order by `hpack`
- HEADERS, DATA, trailers in this order on streams that the peer opened, nothing after the end or a reset
- DATA within the windows of the stream and the connection
- each SETTINGS acknowledged, each PING answered, in order
- a request's fields are those that `hpack` decodes without any memo
- GOAWAY for an error is the last frame; the server's windows never exceed 2^31-1
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hpack
from fuzz import wire
from fuzz.wire import Frame

from sidecar.http2 import REQUEST

DEFAULT_WINDOW = 65_535


@dataclass(slots=True)
class Side:
    """One stream: what the server has sent on it, and the room that the peer left."""

    spent: int = 0
    answered: bool = False
    over: bool = False  # no more of the server: it ended or reset the stream, or knows that the peer did


@dataclass(slots=True)
class Watcher:
    table: int = 4_096
    """SETTINGS_HEADER_TABLE_SIZE of the server, once acknowledged."""
    streams: dict[int, Side] = field(default_factory=dict)
    last: int = 0
    initial: int = DEFAULT_WINDOW
    room: int = DEFAULT_WINDOW
    closed: bool = False
    _block: bytes = b""
    _block_of: int = 0
    _block_ends: bool = False
    _expected: list[Frame] = field(default_factory=list)
    _theirs: hpack.Decoder = field(default_factory=lambda: hpack.Decoder(max_header_list_size=2**31))
    _ours: hpack.Decoder = field(default_factory=lambda: hpack.Decoder(max_header_list_size=2**31))
    _peer_block: bytes = b""
    _peer_block_of: int = 0
    _draining: bool = False
    _broken: bool = False  # the peer's blocks cannot be decoded any more
    fields: dict[int, Any] = field(default_factory=dict)

    # The peer's frames

    def peer(self, frame: Frame) -> None:
        """One frame that the server is about to read; a nonsensical one must end in an error, so it is not judged."""
        stream_id = frame.stream_id & 0x7FFFFFFF
        payload = frame.payload
        if frame.kind == wire.SETTINGS and not frame.flags & wire.ACK:
            for start in range(0, len(payload) - 5, 6):
                name = int.from_bytes(payload[start : start + 2], "big")
                value = int.from_bytes(payload[start + 2 : start + 6], "big")
                if name == 4:
                    for side in self.streams.values():
                        side.spent += self.initial - value
                    self.initial = value
                if name == 1:
                    self._ours.max_allowed_table_size = min(value, self._ours.max_allowed_table_size)
            self._expected.append(Frame(wire.SETTINGS, wire.ACK, 0))
        elif frame.kind == wire.SETTINGS:
            self._theirs.max_allowed_table_size = self.table
        elif frame.kind == wire.PING and not frame.flags & wire.ACK:
            self._expected.append(Frame(wire.PING, wire.ACK, 0, payload))
        elif frame.kind == wire.WINDOW_UPDATE and len(payload) == 4:
            increment = int.from_bytes(payload, "big") & 0x7FFFFFFF
            if stream_id == 0:
                self.room += increment
            elif stream_id in self.streams:
                self.streams[stream_id].spent -= increment
        elif frame.kind == wire.RST_STREAM and stream_id in self.streams:
            self.streams[stream_id].over = True
        elif frame.kind == wire.HEADERS:
            if stream_id % 2 and stream_id > self.last:
                self.last = stream_id
                self.streams[stream_id] = Side(spent=DEFAULT_WINDOW - self.initial)
            if frame.flags & wire.PADDED:
                payload = payload[1 : len(payload) - payload[0]] if payload else b""
            if frame.flags & wire.PRIORITIZED:
                payload = payload[5:]
            self._peer_block, self._peer_block_of = payload, stream_id
            self._peer_headers(frame)
        elif frame.kind == wire.CONTINUATION and stream_id == self._peer_block_of:
            self._peer_block += payload
            self._peer_headers(frame)

    def _peer_headers(self, frame: Frame) -> None:
        if frame.flags & wire.END_HEADERS and not self._broken:
            try:
                headers = tuple((bytes(n), bytes(v)) for n, v in self._theirs.decode(self._peer_block, raw=True))
            except hpack.HPACKError:
                self._broken = True
            else:
                self.fields[self._peer_block_of] = headers

    # The server's

    def events(self, events: list[tuple[Any, ...]]) -> None:
        for event in events:
            assert event[1] in self.streams, "an event of a stream that the peer never opened"
            if event[0] == REQUEST:
                assert event[2] == self.fields[event[1]], "fields differ from what hpack decodes"

    def server(self, output: bytes) -> None:
        for frame in wire.parse(output):
            assert not self.closed, "a frame after the last GOAWAY"
            assert len(frame.payload) <= 16_384, "a frame above SETTINGS_MAX_FRAME_SIZE"
            if self._block_of:
                assert (frame.kind, frame.stream_id) == (wire.CONTINUATION, self._block_of), "a broken header block"
            self._server_frame(frame)

    def _server_frame(self, frame: Frame) -> None:
        kind, stream_id, payload = frame.kind, frame.stream_id, frame.payload
        if kind == wire.HEADERS:
            side = self._speaking(stream_id)
            side.answered = True
            self._block, self._block_of = payload, stream_id
            self._block_ends = bool(frame.flags & wire.END_STREAM)
            self._server_headers(frame)
        elif kind == wire.CONTINUATION:
            assert self._block_of == stream_id, "CONTINUATION without HEADERS"
            self._block += payload
            self._server_headers(frame)
        elif kind == wire.DATA:
            side = self._speaking(stream_id)
            assert side.answered, "DATA before HEADERS"
            side.spent += len(payload)
            self.room -= len(payload)
            if payload:
                assert side.spent <= DEFAULT_WINDOW, "more DATA than the stream's window"
                assert self.room >= 0, "more DATA than the connection's window"
            side.over = bool(frame.flags & wire.END_STREAM)
        elif kind == wire.RST_STREAM:
            assert stream_id in self.streams, "RST_STREAM on an idle stream"
            self.streams[stream_id].over = True
        elif kind == wire.WINDOW_UPDATE:
            assert 0 < int.from_bytes(payload, "big") < 2**31
            if stream_id:
                self._speaking(stream_id)
        elif kind in (wire.SETTINGS, wire.PING) and frame.flags & wire.ACK:
            assert self._expected, "an answer to nothing"
            assert frame == self._expected.pop(0), "answers out of order"
        elif kind == wire.GOAWAY:
            last = int.from_bytes(payload[:4], "big")
            if last == 2**31 - 1 and frame.code == 0 and not self._draining:
                self._draining = True
                return  # the first of a drain; the id may be in use besides
            self.closed = True
        else:
            assert kind in (wire.SETTINGS, wire.PING), "a frame that a server does not send"

    def _server_headers(self, frame: Frame) -> None:
        if frame.flags & wire.END_HEADERS:
            self._ours.decode(self._block, raw=True)
            self.streams[self._block_of].over |= self._block_ends
            self._block_of = 0

    def _speaking(self, stream_id: int) -> Side:
        side = self.streams.get(stream_id)
        assert side is not None, "a frame on an idle stream"
        assert not side.over, "a frame on a stream that is over"
        return side

    def quiet(self) -> None:
        """All that was to be answered at once has been."""
        assert self.closed or not self._expected, "an answer is missing"
