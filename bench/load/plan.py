"""What a generator is to do, as it travels to its process and back: JSON both ways."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from bench.load.checks import Checks
from bench.load.discovery import Discovery
from bench.load.engine import Samples, Target, closed_loop, open_loop
from bench.load.handshakes import Handshakes
from bench.load.https import Https
from bench.load.visits import visits
from bench.names import hostname
from embedded.ports import LOOPBACK

CHECKS, HTTPS, HANDSHAKES, HELLOS, REFUSALS = "checks", "https", "handshakes", "hellos", "refusals"
VISITS, DISCOVERY = "visits", "discovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`kind`: CHECKS or DISCOVERY (on `socket`), HTTPS, HANDSHAKES, HELLOS, REFUSALS or VISITS (on `port`).

    Names are those numbered from `first` on, `names` of them: with HTTPS one a connection, with HANDSHAKES, HELLOS,
    VISITS and DISCOVERY in turn, with CHECKS at random: uniformly, or the n-th as often as 1 / n ** `skew`. `rate`: an
    open loop of that many a second; without one it is a closed loop of `depth`, ended by `seconds` or `limit`,
    whichever comes first. `niceness`: of a load beside which others measure on the same core. `certificate`: a file
    with what clients show when they are asked for one, with VISITS.
    """

    kind: str
    seconds: float
    socket: str = ""
    port: int = 0
    connections: int = 1
    first: int = 0
    names: int = 1
    rate: float | None = None
    depth: int = 1
    limit: int | None = None
    skew: float = 0.0
    seed: int = 1
    niceness: int = 0
    certificate: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def target(self) -> Target:
        match self.kind:
            case "checks":
                return Checks(self.socket, self.connections, self._pick())
            case "https":
                hosts = [hostname(self.first + number % self.names) for number in range(self.connections)]
                return Https(LOOPBACK, self.port, hosts)
            case "handshakes":
                return Handshakes.whole(LOOPBACK, self.port, self._name)
            case "hellos":
                return Handshakes.answered(LOOPBACK, self.port, self._name)
            case "refusals":
                return Handshakes.refused(LOOPBACK, self.port, self.first)
            case "visits":
                return visits(LOOPBACK, self.port, self._name, self.certificate)
            case "discovery":
                return Discovery(self.socket, self._name)
            case unknown:
                raise ValueError(f"no such load: {unknown}")

    def _name(self, ticket: int) -> str:
        return hostname(self.first + ticket % self.names)

    def run(self, begun: Callable[[], None], stopped: Callable[[], bool]) -> Samples:
        """`begun` is called when connections are open and the first operation is next."""
        target = self.target()
        try:
            begun()
            if self.rate is not None:
                return open_loop(target, self.rate, self.seconds, stopped=stopped)
            return closed_loop(target, self.depth, self.seconds, self.limit, stopped=stopped)
        finally:
            target.close()

    def _pick(self) -> Callable[[int], bytes]:
        """By ticket; drawn beforehand, so that drawing is no part of what is measured."""
        draw = random.Random(self.seed)
        drawn = 1 << 16
        if self.skew:
            weights = [1 / (rank + 1) ** self.skew for rank in range(self.names)]
            numbers = draw.choices(range(self.names), weights, k=drawn)
        else:
            numbers = [draw.randrange(self.names) for _ in range(drawn)]
        names = [hostname(self.first + number).encode() for number in numbers]
        return lambda ticket: names[ticket % drawn]


def samples_to_json(samples: Samples) -> str:
    return json.dumps(asdict(samples))


def samples_from_json(text: str) -> Samples:
    fields: dict[str, Any] = json.loads(text)
    return Samples(**fields)
