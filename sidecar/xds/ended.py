"""The registrations that have ended while connections that were opened for them may still be alive.

Envoy's connection lane (envoy/connection.yaml) asks for a connection's tenant once. A registration that is on this list
is asked about at each request again, so a name on it for too long costs time and nothing else: a wrong answer cannot
come of it. Too short a list would let an ended registration be served. Hence, where it may not be whole, there is none,
and without one Envoy asks about every request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from uuid import UUID

from sidecar.wire.discovery_pb2 import Any
from sidecar.wire.filter_pb2 import Filter

FILTER_TYPE: Final = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
FILTER_NAME: Final = "nameplate.ended"  # in envoy/connection.yaml

# Seconds that a registration stays on the list. Above the life of a connection (3,600 s in envoy/connection.yaml), its
# drain (5 s), and what a decision may be late: the age at which the directory calls itself stale, and one check.
KEPT: Final = 3900.0
# Registrations on a list: 143 bytes of it each, and 12 µs of Envoy's main thread whenever it changes.
LIMIT: Final = 5_000

TYPES: Final = "type.googleapis.com/"
HTTP_FILTERS: Final = f"{TYPES}envoy.extensions.filters.http."
ASK: Final = "ask"


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """`resource`: a TypedExtensionConfig as an encoded Any."""

    version: str
    resource: bytes = field(repr=False)
    length: int


class EndedRegistrations:
    """`clock`: monotonic seconds. Registrations are UUID text: of a domain, or of a tenant for a platform subdomain."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # in the order in which they leave
        self._whole_from: float | None = None
        self._encoded: FilterConfig | None = None
        self.on_change: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._until)

    def add(self, ended: Mapping[str, float]) -> None:
        """What the directory says has ended; its first word, even if empty, makes the list whole."""
        now = self._clock()
        if self._whole_from is None:
            self._whole_from = now
        self._encoded = None
        for registration in ended:
            # When it ended by PostgreSQL's clock does not matter: it is kept from when it was heard of.
            self._until.pop(registration, None)
            self._until[registration] = now + KEPT
        if len(self._until) > LIMIT:
            self._until.clear()
            self._whole_from = now + KEPT
        self.on_change()

    def config(self) -> FilterConfig | None:
        """The filter's configuration for now; None while the list may not be whole."""
        now = self._clock()
        if self._whole_from is None or now < self._whole_from:
            return None
        while self._until and (oldest := next(iter(self._until))) and self._until[oldest] <= now:
            del self._until[oldest]
            self._encoded = None
        if self._encoded is None:
            self._encoded = encode(sorted(self._until))
        return self._encoded


def encode(registrations: list[str]) -> FilterConfig:
    """The filter that has requests of these registrations' connections asked about. Equal lists are equal bytes."""
    composite = Filter.Composite(
        named_filter_chains={ASK: Filter.FilterChain(typed_config=[MARK])},
        matcher=_matcher(registrations) if registrations else None,
    )
    config = _typed(
        FILTER_NAME, f"{HTTP_FILTERS}composite.v3.Composite", composite.SerializeToString(deterministic=True)
    )
    value = config.SerializeToString(deterministic=True)
    resource = Any(type_url=FILTER_TYPE, value=value).SerializeToString()
    return FilterConfig(sha256(value).hexdigest()[:16], resource, len(registrations))


def _matcher(registrations: list[str]) -> Filter.Matcher:
    # Repeated fields may be concatenated, and entries differ in nothing but the key: a tenth of the time of building
    # them one by one, on the loop that answers checks.
    before, after = ENTRY
    entries = b"".join([before + registration.encode() + after for registration in registrations])
    return Filter.Matcher(matcher_tree=Filter.MatcherTree(input=REGISTRATION, exact_match_map=entries))


def _typed(name: str, type_url: str, value: bytes) -> Filter.TypedExtensionConfig:
    return Filter.TypedExtensionConfig(name=name, typed_config=Filter.Any(type_url=type_url, value=value))


# The mark that envoy/connection.yaml looks for.
MARK: Final = _typed(
    "mark",
    f"{HTTP_FILTERS}set_metadata.v3.Config",
    Filter.SetMetadata(
        metadata=[
            Filter.Metadata(
                metadata_namespace="nameplate",
                value=Filter.Struct(fields={ASK: Filter.Value(string_value="yes")}),
            )
        ]
    ).SerializeToString(deterministic=True),
)
REGISTRATION: Final = _typed(
    "registration",
    f"{TYPES}envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
    Filter.FilterStateInput(key="nameplate.domain").SerializeToString(),
)
ON_MATCH: Final = Filter.OnMatch(
    action=_typed(
        ASK,
        f"{HTTP_FILTERS}composite.v3.ExecuteFilterAction",
        Filter.ExecuteFilterAction(filter_chain_name=ASK).SerializeToString(),
    )
).SerializeToString()

# Of a MatchMap: what comes before and after the UUID.
BLANK: Final = str(UUID(int=0))
ENTRY: Final = tuple(
    Filter.MatchMap(map=[Filter.MatchMap.Entry(key=BLANK, value=ON_MATCH)]).SerializeToString().split(BLANK.encode())
)
