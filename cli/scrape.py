"""One look at a sidecar by its administration: /readyz and /metrics, read strictly. Figures by name, no screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from core.errors import NameplateError

if TYPE_CHECKING:
    import httpx

PATIENCE = 5.0  # seconds
MOST = 64 * 1024 * 1024  # bytes of an answer; a hundred thousand certificates have a fifth of it

Labels = Mapping[str, str]


class NotASidecar(NameplateError):
    """Nobody answers there, or something else does. Codes: sidecar_unreachable, not_a_sidecar."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Samples of a scrape, by the name that a sample has: of a counter with `_total`."""

    samples: Mapping[str, tuple[tuple[Labels, float], ...]]

    @classmethod
    def parse(cls, text: str) -> Figures:
        """Of the text exposition format 0.0.4. Raises ValueError, for whatever is wrong with it."""
        from prometheus_client.parser import text_string_to_metric_families

        found: dict[str, list[tuple[Labels, float]]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append((MappingProxyType(sample.labels), float(sample.value)))
        except (KeyError, IndexError, TypeError, AttributeError) as error:  # the library is not strict everywhere
            raise ValueError("not a scrape") from error
        return cls({name: tuple(samples) for name, samples in found.items()})

    def sum(self, name: str, **labels: str) -> float | None:
        """Of all samples that have these labels; None: there is no such metric."""
        if name not in self.samples:
            return None
        return sum((value for given, value in self.samples[name] if labels.items() <= given.items()), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums by a label's value, in the order of the scrape."""
        sums: dict[str, float] = {}
        for given, value in self.samples.get(name, ()):
            sums[given.get(label, "")] = sums.get(given.get(label, ""), 0.0) + value
        return sums


@dataclass(frozen=True, slots=True)
class Look:
    """`at`: monotonic seconds. `took`: seconds until the answer was there. `readiness`: as sidecar.readiness has it."""

    at: float
    took: float
    readiness: Mapping[str, Any]
    figures: Figures

    def rate(self, before: Look | None, name: str, **labels: str) -> float | None:
        """A second, since the look before. None: it is not known, as when the sidecar has been started anew."""
        now = self.figures.sum(name, **labels)
        then = None if before is None or self.is_of_another(before) else before.figures.sum(name, **labels)
        if now is None or then is None or before is None or self.at <= before.at or now < then:
            return None
        return (now - then) / (self.at - before.at)

    def is_of_another(self, before: Look) -> bool:
        """Whether another process answers than before."""
        start = "process_start_time_seconds"
        return self.figures.sum(start) != before.figures.sum(start)


def look(client: httpx.Client, sidecar: str) -> Look:
    """`sidecar`: the administration's URL. Raises NotASidecar."""
    started = monotonic()
    readiness = _get(client, f"{sidecar}/readyz", (200, 503))
    text = _get(client, f"{sidecar}/metrics", (200,))
    at = monotonic()
    import json

    try:
        said = json.loads(readiness)
        figures = Figures.parse(text.decode())
    except (ValueError, RecursionError):
        raise _not_one(sidecar) from None
    if not isinstance(said, dict) or not isinstance(said.get("ready"), bool) or not figures.samples:
        raise _not_one(sidecar)
    return Look(at, at - started, said, figures)


def _get(client: httpx.Client, url: str, statuses: tuple[int, ...]) -> bytes:
    import httpx

    body = bytearray()
    try:
        with client.stream("GET", url) as response:
            if response.status_code not in statuses:
                raise NotASidecar("not_a_sidecar", f"{url} answers {response.status_code}.")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MOST:
                    raise NotASidecar("not_a_sidecar", f"{url} answers without an end.")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise NotASidecar("sidecar_unreachable", f"{url} does not answer: {reason}") from None
    return bytes(body)


def _not_one(sidecar: str) -> NotASidecar:
    return NotASidecar("not_a_sidecar", f"{sidecar} answers, but not as a sidecar's administration does.")
