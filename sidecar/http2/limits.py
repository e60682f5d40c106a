"""What a peer can make us keep or do, bounded. Each bound has its reason and its precedent beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_HEADER_TABLE: Final = 4_096  # bytes, RFC 9113 6.5.2
DEFAULT_WINDOW: Final = 65_535  # bytes, RFC 9113 6.5.2
MAX_WINDOW: Final = 2**31 - 1  # bytes, RFC 9113 6.9.1
MAX_FRAME: Final = 16_384  # bytes of payload: the least that every peer accepts, and all that we accept (RFC 9113 4.2)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection."""

    header_table: int = DEFAULT_HEADER_TABLE
    """Bytes of the peer's dynamic table. The default costs 4 KB a connection and needs no announcement, so no block
    is ever in doubt between two sizes; Envoy's repeated block is 42 bytes with it and 147 without."""

    header_list: int = 32_768
    """Bytes of a decoded header list, each field counted with 32 more (RFC 9113 6.5.2), and of its encoded block.
    gRPC's hard limit for metadata is 16 KB, Envoy's for request headers 60 KB. Decoding this much costs some 10 ms."""

    continuations: int = 64
    """CONTINUATION frames of one block (CVE-2024-27316 and its kin): h2's limit. nghttp2's is 8, but RFC 9113 6.10 sets
    none, and the size of a block is bounded besides."""

    streams: int = 1_024
    """SETTINGS_MAX_CONCURRENT_STREAMS. Envoy opens at most this many on a connection of its own accord."""

    stream_window: int = 4 * 2**20
    """Bytes of one stream that the peer may send before anything is `consumed`: gRPC's default limit of a message, so
    a unary request never waits for credit. Envoy stalls on large checks with the RFC's 64 KB."""

    connection_window: int = 64 * 2**20
    """Bytes of incomplete messages of all streams together: credit comes back when a message is complete or its stream
    gone. 1,024 checks with 64 KB of body each, half-sent at the same moment; Envoy itself announces 25 MB."""

    resets: int = 10_000
    resets_per_second: int = 1_000
    """Streams that ended by RST_STREAM before they were answered, or that we had to refuse: at most `resets` at once
    and then so many a second (rapid reset, CVE-2023-44487). nghttp2 allows 1,000 at once and 33 a second, but behind
    Envoy all clients share one connection: after a stall of ours it cancels up to `streams` checks each 200 ms."""

    control_frames: int = 10_000
    control_frames_per_second: int = 1_000
    control_frames_per_stream: int = 10
    control_frames_per_data_frame: int = 10
    """Frames that carry no request: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, RST_STREAM on a closed stream, empty DATA
    and unknown types (CVE-2019-9511 to 9518). Go queues at most 10,000 such answers; Envoy allows 10 WINDOW_UPDATE
    frames for each DATA frame that it sends, and so do we: gRPC's core answers each message of a long stream with a
    PING or a WINDOW_UPDATE, or both."""

    queued_answers: int = 10_000
    """Control frames of ours in the output that nobody took, for a peer that writes and does not read (Go: 10,000)."""

    remembered_resets: int = 1_000
    """Streams that we reset and whose frames may still be on their way (RFC 9113 5.1, closed); older ones are taken for
    such a stream too."""

    skipped_ranges: int = 100
    """Ranges of stream ids that the peer passed over, kept to tell a used id from one that never was (5.1.1)."""

    memo_blocks: int = 64
    memo_block: int = 1_024
    """Header blocks whose decoding is remembered, and the longest of them in bytes. Envoy has one block a service."""


LIMITS: Final = Limits()
