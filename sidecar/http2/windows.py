"""Credit for what we receive (RFC 9113 6.9).

`size` is what was announced, for the connection or for a stream; `room` what the peer may still send, `held` what
arrived and is kept, `owed` what was done with and is to be given back. Always

    size = room + held + owed
"""

from __future__ import annotations


def give_back(size: int, room: int, held: int) -> int:
    """The increment to send now: 0, or all that is owed once that is a quarter of the window (a frame for each DATA
    would be waste) or more than the peer has left (it may be waiting for just this)."""
    owed = size - room - held
    return owed if owed >= size // 4 or owed > room else 0
