"""What a client has rejected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A client's last word on a resource, if that was a NACK. `version`: what it rejected; `reason`: in its words."""

    version: str
    reason: str
