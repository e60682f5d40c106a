"""GET /domains/{id}/propagation: how many sidecars have the last change of a domain, and how many Envoys took it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.caller import Callers, domain_id, raw_query
from api.query import parse_query
from api.service import Domains


class Seen(Protocol):
    """How far a change has come. `known`, `seen`: sidecars that are alive, and those of them that have it.

    `connected`, `acknowledged`, `rejected`: Envoys. `silent`: sidecars that do not say which Envoys they have.
    `age`: seconds since the one that was silent the longest was heard; None: there is none.
    """

    @property
    def seen(self) -> int: ...
    @property
    def known(self) -> int: ...
    @property
    def connected(self) -> int: ...
    @property
    def acknowledged(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def silent(self) -> int: ...
    @property
    def age(self) -> float | None: ...
    @property
    def complete(self) -> bool: ...


class Witness(Protocol):
    """What this replica has heard of the sidecars (control.certificates.propagation)."""

    def seen(self, xid: int, hostname: str | None = None, /) -> Seen: ...


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody was heard."""

    seen: int = 0
    known: int = 0
    connected: int = 0
    acknowledged: int = 0
    rejected: int = 0
    silent: int = 0
    age: float | None = None
    complete: bool = False


class Nobody:
    """The witness where sidecars are not listened to."""

    def seen(self, _xid: int, _hostname: str | None = None) -> Nothing:
        return Nothing()


NOBODY: Final = Nobody()


class PropagationResource:
    def __init__(self, domains: Domains, callers: Callers, witness: Witness) -> None:
        self._domains = domains
        self._callers = callers
        self._witness = witness

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        generation = await self._domains.generation(caller, domain_id(request))
        seen = self._witness.seen(generation.number, generation.hostname)
        return JSONResponse({"generation": generation.number, **propagation(seen)})


def propagation(seen: Seen) -> dict[str, Any]:
    return {
        "sidecars": {"live": seen.known, "have": seen.seen, "silent": seen.silent},
        "envoys": {"connected": seen.connected, "acknowledged": seen.acknowledged, "rejected": seen.rejected},
        "heardAge": None if seen.age is None else round(seen.age, 3),
        "complete": seen.complete,
    }
