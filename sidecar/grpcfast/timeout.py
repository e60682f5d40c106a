"""The header grpc-timeout: at most eight digits and a unit (PROTOCOL-HTTP2, "Timeout")."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_timeout = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch


def read_timeout(value: bytes) -> float | None:
    """Seconds; None if it is malformed.

    Zero is no positive number, as the specification wants it, but what clients send whose deadline has passed.
    """
    parts = _timeout(value)
    return None if parts is None else int(parts[1]) * UNITS[parts[2]]
