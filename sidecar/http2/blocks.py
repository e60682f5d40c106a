"""Header blocks (RFC 7541): the peer's through the `hpack` library with a memo in front, ours without any state.

The memo rests on one fact: decoding is a function of the dynamic table and the block. A block whose decoding leaves
the table as it was gives the same fields as long as nobody changes the table. So it is remembered until the first block
that does change it, and a remembered block leaves the decoder where the library would have left it. This holds for a
table of any size: Envoy fills it with its first request and then repeats one block of 42 bytes; with a table of 0 every
block is such a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, cast

import hpack
from hpack.table import HeaderTable

from sidecar.http2.errors import ConnectionFault, ErrorCode, StreamFault
from sidecar.http2.events import R
from sidecar.http2.headers import HeaderList, check_request
from sidecar.http2.limits import DEFAULT_HEADER_TABLE, Limits


class BlockDecoder(Generic[R]):
    """One connection's decoder. `memo` may be read directly: block → what `request` returned for it."""

    __slots__ = ("_decoder", "_limits", "_read_request", "_table", "memo")

    def __init__(self, read_request: Callable[[HeaderList], R], limits: Limits) -> None:
        self._read_request = read_request
        self._limits = limits
        self._decoder = hpack.Decoder(max_header_list_size=limits.header_list)
        self._decoder.max_allowed_table_size = DEFAULT_HEADER_TABLE
        self._table = self._decoder.header_table
        self.memo: dict[bytes, tuple[R, int]] = {}

    def acknowledged(self) -> None:
        """The peer has acknowledged our SETTINGS, so our table size holds from its next block on (RFC 9113 4.3.1)."""
        self._decoder.max_allowed_table_size = self._limits.header_table
        self.memo.clear()

    def request(self, block: bytes) -> tuple[R, int]:
        """What `read_request` makes of a request's block, and its content-length.

        Raises ConnectionFault for a block that cannot be decoded and StreamFault for a malformed request.
        """
        known = self.memo.get(block)
        if known is not None:
            return known
        headers, stateless = self._decode(block)
        expected = check_request(headers)
        result = self._read_request(headers), expected
        if stateless and len(block) <= self._limits.memo_block:
            if len(self.memo) >= self._limits.memo_blocks:
                self.memo.clear()
            self.memo[block] = result
        return result

    def trailers(self, block: bytes) -> HeaderList:
        """The fields of any block. Raises ConnectionFault."""
        return self._decode(block)[0]

    def skip(self, block: bytes) -> None:
        """A block whose fields nobody wants; the decoder stays in step with the encoder. Raises ConnectionFault."""
        if block not in self.memo:
            self._decode(block)

    def _decode(self, block: bytes) -> tuple[HeaderList, bool]:
        entries = self._table.dynamic_entries
        # An insertion puts a new object in front, and an eviction without one shortens the table.
        newest, count, size = entries[0] if entries else None, len(entries), self._table.maxsize
        try:
            headers = cast(HeaderList, self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as error:
            # The decoder stopped inside the block, so nothing after it could be read.
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header list too long") from error
        except hpack.HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "header block cannot be decoded") from error
        stateless = (
            (entries[0] if entries else None) is newest and len(entries) == count and self._table.maxsize == size
        )
        if not stateless:
            self.memo.clear()
        return headers, stateless


class PendingBlock:
    """A header block whose END_HEADERS has not come."""

    __slots__ = ("_continuations", "_size", "end_stream", "fault", "parts", "stream_id")

    def __init__(self, stream_id: int, end_stream: bool, first: bytes, fault: StreamFault | None) -> None:
        self.stream_id = stream_id
        self.end_stream = end_stream
        self.fault = fault
        """What is wrong with the stream already; the block is decoded nevertheless."""
        self.parts = [first]
        self._size = len(first)
        self._continuations = 0

    def add(self, part: bytes, limits: Limits) -> None:
        """A CONTINUATION frame's payload. Raises ConnectionFault when it is one too many."""
        self.parts.append(part)
        self._size += len(part)
        self._continuations += 1
        if self._continuations > limits.continuations or self._size > limits.header_list:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block too long")


NO_TABLE: Final = b"\x20"
"""The update to a dynamic table of 0 bytes: the first block after a peer reduced the table it offers must say that we
follow (RFC 7541 4.2), and as nothing of ours is ever indexed, 0 follows every size."""


def _integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes((pattern | value,))
    out = bytearray((pattern | most,))
    value -= most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block that needs no dynamic table and leaves none behind, so it may be sent on any connection: fields of the
    static table by index, others as literals without indexing, no Huffman code."""
    out = []
    for name, value in headers:
        index, values = HeaderTable.STATIC_TABLE_MAPPING.get(name, (0, {}))
        if value in values:
            out.append(_integer(values[value], 7, 0x80))
            continue
        out.append(_integer(index, 4, 0x00))
        if not index:
            out.append(_integer(len(name), 7, 0x00) + name)
        out.append(_integer(len(value), 7, 0x00) + value)
    return b"".join(out)
