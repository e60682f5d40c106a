"""How many spellings of one hostname a client may hold on a stream.

Envoy asks for the SNI as the client wrote it and keeps each spelling as a secret of its own, 24 KB, with no limit:
`Shop.example.com` alone has 65,536 of them. Lower case, which browsers send, is always answered.
"""

from __future__ import annotations

from typing import Final

LIMIT: Final = 4  # other than lower case


class Spellings:
    def __init__(self) -> None:
        self._served: dict[str, set[str]] = {}  # by lower case

    def allows(self, name: str) -> bool:
        lowered = name.lower()
        served = self._served.get(lowered, ())
        return name == lowered or name in served or len(served) < LIMIT

    def served(self, name: str) -> None:
        """The client holds `name` now."""
        lowered = name.lower()
        if name != lowered:
            self._served.setdefault(lowered, set()).add(name)

    def gone(self, name: str) -> None:
        """The client does not hold `name` any more."""
        lowered = name.lower()
        served = self._served.get(lowered)
        if served is not None:
            served.discard(name)
            if not served:
                del self._served[lowered]
