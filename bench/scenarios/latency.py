"""Latencies of several servers that were measured in the same rounds, as distributions and one plot."""

from __future__ import annotations

from collections import Counter

from bench.load.engine import OK, Samples
from bench.result import Line, Plot, Report
from bench.stats import Distribution, Rounds, percentile

MILLI, MICRO = 1e3, 1e6
TAIL = (0, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99)


class Latencies:
    def __init__(self) -> None:
        self._rounds: dict[str, list[Samples]] = {}

    def add(self, name: str, samples: Samples) -> None:
        self._rounds.setdefault(name, []).append(samples)

    def values(self, name: str) -> list[float]:
        """Seconds, of all rounds."""
        return [latency for samples in self._rounds[name] for latency in samples.latency]

    def each(self, name: str, percent: float) -> Rounds:
        """That percentile of every round, in seconds."""
        return Rounds.of([percentile(sorted(samples.latency), percent) for samples in self._rounds[name]])

    def failed(self, name: str) -> int:
        return sum(count for samples in self._rounds[name] for word, count in samples.outcomes.items() if word != OK)

    def _failures(self, name: str) -> str:
        words: Counter[str] = Counter()
        for samples in self._rounds[name]:
            words.update({word: count for word, count in samples.outcomes.items() if word != OK})
        return ", ".join(f"{count} {word}" for word, count in words.most_common())

    def report(self, report: Report, prefix: str, meaning: str) -> None:
        """Distributions, failures, the generator's own cost, and a plot."""
        lines = []
        for name, rounds in self._rounds.items():
            ordered = sorted(self.values(name))
            in_micro = [value * MICRO for value in ordered]
            report.distribution(f"{prefix}.{name}", Distribution.of(in_micro), "µs", f"latency: {meaning}")
            report.figure(f"{prefix}.failed.{name}", self.failed(name), "requests", f"not OK: {meaning}")
            if words := self._failures(name):
                report.notes.append(f"{prefix}, {name}: {words}")
            points = tuple((100 - step, percentile(ordered, step) * MILLI) for step in TAIL)
            lines.append(Line(name, points))
            self._generator(report, f"{prefix}.generator", name, rounds)
        report.plots.append(Plot(prefix, meaning, "latency", tuple(lines), "percentile", "latency (ms)", log_y=True))

    @staticmethod
    def _generator(report: Report, prefix: str, name: str, rounds: list[Samples]) -> None:
        cpu = [samples.cpu * MICRO for samples in rounds]
        report.figure(f"{prefix}_cpu.{name}", cpu, "µs", "CPU of our generator, an operation")
        lag = [percentile(sorted(samples.lag), 99) * MICRO for samples in rounds if samples.lag]
        if lag:
            report.figure(f"{prefix}_lag_p99.{name}", lag, "µs", "how late our generator was (the latency contains it)")


def in_milliseconds(seconds: Rounds) -> Rounds:
    return Rounds(tuple(value * MILLI for value in seconds.values))
