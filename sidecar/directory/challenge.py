"""An HTTP-01 challenge (RFC 8555 section 8.3) as the data path knows it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Challenge:
    """`lifetime`: seconds that it had left when it was read, by PostgreSQL's clock."""

    token: str
    key_authorization: str = field(repr=False)
    lifetime: float
