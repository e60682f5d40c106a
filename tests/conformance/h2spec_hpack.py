"""What h2spec calls `hpack` (RFC 7541): decoding errors, so COMPRESSION_ERROR of the connection (RFC 9113 4.3)."""

from __future__ import annotations

from conformance.case import Answered, Case, GoAway, Step
from conformance.frames import Code, Setting, headers
from conformance.peer import Peer
from conformance.steps import GET, block, ended, request


def _table_size(size: int) -> bytes:
    """RFC 7541 6.3."""
    if size < 31:
        return bytes((0x20 | size,))
    rest, encoded = size - 31, [0x3F]
    while rest >= 128:
        encoded.append(0x80 | rest & 0x7F)
        rest >>= 7
    return bytes((*encoded, rest))


def _table_size_above_the_limit(above: int) -> Step:
    def build(peer: Peer) -> bytes:
        limit = peer.settings.get(Setting.HEADER_TABLE_SIZE, 4096)
        return headers(1, _table_size(limit + above) + block(peer, GET))

    return build


CASES = (
    *(
        Case(section, name, (request(before=before, after=after),), GoAway(Code.COMPRESSION_ERROR))
        for section, name, before, after in (
            ("hpack/2.3.3", "indexed field, index beyond both tables", b"", b"\xfe"),
            ("hpack/2.3.3", "literal, name index beyond both tables", b"", b"\x7f\x3f\x05value"),
            ("hpack/2.3.3", "literal without indexing, name index beyond both tables", b"", b"\x0f\x6f\x05value"),
            ("hpack/4.2", "table size update at the end of a block", b"", b"\x21"),
            ("hpack/4.2", "table size update between two fields", b"", b"\x20\xba"),
            ("hpack/5.1", "an integer that does not end", b"", b"\xff" + b"\xff" * 40),
            ("hpack/5.1", "an integer of many zero octets", b"", b"\xff" + b"\x80" * 200 + b"\x01"),
            ("hpack/5.1", "an integer cut off", b"", b"\xff\x80"),
            ("hpack/5.2", "Huffman padding longer than 7 bits", b"", bytes.fromhex("0085f2b24a84ff8449509fff")),
            ("hpack/5.2", "Huffman padding of zeros", b"", bytes.fromhex("0085f2b24a84ff83495090")),
            ("hpack/5.2", "Huffman code with EOS", b"", bytes.fromhex("0085f2b24a87fffffffd25427f")),
            ("hpack/5.2", "a name cut off", b"", b"\x00\x0aabc"),
            ("hpack/5.2", "a value cut off", b"", b"\x00\x03abc\x0avalue"),
            ("hpack/5.2", "a value missing", b"", b"\x00\x03abc"),
            ("hpack/5.2", "a string of 2^62 octets", b"", b"\x00\x7f" + b"\xff" * 8 + b"\x3f"),
            ("hpack/6.1", "indexed field, index 0", b"", b"\x80"),
            ("hpack/6.2.1", "literal, cut after its first octet", b"", b"\x40"),
        )
    ),
    Case(
        "hpack/6.3",
        "table size update above SETTINGS_HEADER_TABLE_SIZE",
        (_table_size_above_the_limit(1),),
        GoAway(Code.COMPRESSION_ERROR),
    ),
    Case(
        "hpack/6.3",
        "table size update of 2^32",
        (_table_size_above_the_limit(2**32),),
        GoAway(Code.COMPRESSION_ERROR),
    ),
    Case(
        "hpack/4.4",
        "an entry larger than the table empties it and is no error",
        (request(before=_table_size(64), after=b"\x40\x06x-test\x64" + b"v" * 100),),
        Answered(),
    ),
    Case(
        "hpack/4.3",
        "an entry that a size update has evicted is gone",
        (request(after=b"\x40\x06x-test\x05value"), ended(), request(3, before=b"\x20", fields=[], after=b"\xbe")),
        GoAway(Code.COMPRESSION_ERROR),
    ),
)
