"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07): a retried POST does its work once.

The key and the first answer are stored in the transaction that does the work, so neither exists without the other.
Errors are not stored: a retry after one is a new attempt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from api.problems import Problem
from api.service import Idempotency

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def parse_key(values: Sequence[str]) -> str | None:
    """The key from all values of the header, None when there is none. Raises Problem."""
    if not values:
        return None
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        raise Problem(
            "invalid_idempotency_key",
            f"{HEADER} must be given once, as 1 to 255 visible ASCII characters without spaces.",
        )
    return values[0]


def idempotency(values: Sequence[str], operation: str, *asked: str) -> Idempotency | None:
    """`operation` and `asked`: what the request means, so that two spellings of it are one. Raises Problem."""
    key = parse_key(values)
    if key is None:
        return None
    return Idempotency(key, hashlib.sha256("\0".join((operation, *asked)).encode()).digest())
