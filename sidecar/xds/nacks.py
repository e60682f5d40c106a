"""What clients reject, logged once each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from cachetools import LRUCache

from sidecar.xds.counters import Counters, TypeCounters
from sidecar.xds.subscription import Rejection
from sidecar.xds.types import NAMES

REMEMBERED: Final = 1024

log = structlog.stdlib.get_logger(__name__)


class Nacks:
    """`by_type`: by type URL."""

    def __init__(self, counters: Counters, by_type: Mapping[str, TypeCounters]) -> None:
        self._counters = counters
        self._by_type = by_type
        self._logged: LRUCache[tuple[str, str, str], None] = LRUCache(REMEMBERED)

    def add(self, type_url: str, rejection: Rejection) -> None:
        """The client keeps what it had; what it hears then is the stream's business."""
        self._counters.nacks += 1
        self._by_type[type_url].nacks += 1
        for name, version in rejection.resources or (("", ""),):
            if (type_url, name, version) not in self._logged:
                self._logged[type_url, name, version] = None
                log.error(
                    "envoy_rejected",
                    type=NAMES[type_url],
                    resource=name,
                    version=version,
                    reason=rejection.message,
                )
