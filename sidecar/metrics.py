"""What the sidecar's parts count, in Prometheus' terms. Names and units by https://prometheus.io/docs/practices/naming/.

Counting is the parts' own business and costs the hot path an addition; this file only gives the figures names.
`Metrics.read` takes them on the event loop; the text is made from them elsewhere, so no part needs a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from sidecar.directory.stats import DirectoryStats
from sidecar.grpcfast import Server

PREFIX = "nameplate_"


class Secrets(Protocol):
    def stats(self) -> Mapping[str, float]: ...

    def expiries(self) -> Iterable[tuple[str, float]]: ...


class Metrics:
    """`checks`: checks answered, by outcome. `server`: that of the check socket."""

    def __init__(
        self,
        directory: Callable[[], DirectoryStats],
        checks: Callable[[], Mapping[str, int]],
        server: Server,
        secrets: Secrets,
    ) -> None:
        self._directory = directory
        self._checks = checks
        self._server = server
        self._secrets = secrets
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def read(self) -> Callable[[], bytes]:
        """Take the figures now; calling the result makes the text (format 0.0.4), in any thread."""
        directory, checks, secrets = self._directory(), self._checks(), dict(self._secrets.stats())
        server = list(server_families(self._server))
        expiries = list(self._secrets.expiries())

        def families() -> Iterator[Metric]:
            yield from directory_families(directory)
            yield counter("checks", "Answered ext_authz checks.", checks, "outcome")
            yield from server
            yield from secret_families(secrets)
            yield gauge(
                "certificate_not_after_timestamp_seconds",
                "End of validity of each certificate in memory.",
                dict(expiries),
                "hostname",
            )
            yield from self._process.collect()

        return lambda: generate_latest(Families(families))


class Families(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def directory_families(stats: DirectoryStats) -> Iterator[Metric]:
    yield gauge("directory_names", "Names in memory.", stats.names)
    yield gauge("directory_capacity_names", "Names that fit into memory.", stats.capacity)
    yield gauge("directory_loaded", "1 once PostgreSQL or the snapshot was read.", stats.loaded)
    yield gauge("directory_complete", "1 if a name that is not in memory is known not to exist.", stats.complete)
    yield gauge("directory_stale", "1 if the feed cannot be read, so changes may be missing.", stats.stale)
    lookups = {"hit": stats.hits, "miss": stats.misses, "negative": stats.negatives}
    yield counter("directory_lookups", "Lookups, by whether memory had an answer, and which.", lookups, "result")
    yield summary("directory_load_seconds", "Loads of single names.", stats.loads, stats.load_seconds)
    yield counter("directory_load_failures", "Loads that PostgreSQL did not answer.", stats.load_failures)
    refused = {"name": stats.loads_refused, "token": stats.token_loads_refused}
    yield counter("loads_refused", "Loads that the budget of their second refused.", refused, "kind")
    yield gauge("challenges", "ACME challenges in memory.", stats.tokens)
    yield counter("challenge_loads", "Loads of single challenges.", stats.token_loads)
    yield counter("database_statements", "Statements sent to PostgreSQL.", stats.statements)
    yield gauge("feed_position", "Changes of all transactions below this id were applied.", stats.feed_position)
    yield gauge("feed_age_seconds", "Since the change feed was last read.", stats.feed_age)
    yield counter("feed_connects", "Connections of the change feed.", stats.feed_connects)
    yield counter("feed_failures", "Times the change feed was lost.", stats.feed_failures)
    yield counter("feed_reads", "Reads of the change feed.", stats.feed_reads)
    yield counter("feed_changes", "Changes applied.", stats.feed_changes)
    yield counter("feed_reloads", "Times the whole directory was read.", stats.feed_reloads)
    yield counter("snapshot_saves", "Snapshots written.", stats.snapshot_saves)
    yield counter("snapshot_failures", "Snapshots that could not be written.", stats.snapshot_failures)
    if stats.snapshot_saved_at is not None:
        yield gauge("snapshot_timestamp_seconds", "When the last snapshot was written.", stats.snapshot_saved_at)


def server_families(server: Server) -> Iterator[Metric]:
    """Of the check socket: its connections are Envoy's worker threads."""
    counters = server.counters
    errors = {status.name: number for status, number in counters.errors.items()}
    yield gauge("grpc_connections", "Open connections.", server.connections)
    yield counter("grpc_connections_accepted", "Connections accepted.", counters.connections)
    yield counter("grpc_calls", "Calls begun.", counters.calls)
    yield counter("grpc_errors", "Calls that ended with another status than OK.", errors, "status")
    yield counter("grpc_cancelled", "Calls under way that the client gave up.", counters.cancelled)
    yield counter("grpc_protocol_errors", "Connections ended for a violation of HTTP/2.", counters.protocol_errors)
    yield counter("grpc_silent", "Connections ended because the client kept silent.", counters.silent)
    yield gauge("grpc_tasks", "Calls that wait, for PostgreSQL or for their client.", server.tasks)


ANSWERS = ("served", "removed_unknown", "removed_invalid", "removed_unavailable", "removed_unfit")


def secret_families(stats: Mapping[str, float]) -> Iterator[Metric]:
    yield gauge("secret_streams", "Open discovery streams.", stats["streams"])
    yield gauge("secret_subscriptions", "Names subscribed to, over all streams.", stats["subscriptions"])
    answers = {answer: stats[answer] for answer in ANSWERS}
    yield counter("secret_answers", "Answers to names that were asked for.", answers, "answer")
    yield counter("secret_pushes", "Certificates and removals sent without being asked for.", stats["pushes"])
    yield counter("secret_nacks", "Responses that Envoy rejected.", stats["nacks"])
    yield counter("secret_retries", "Names tried again after a failure.", stats["retries"])
    yield gauge("certificates", "Certificates of domains in memory.", stats["certificates"])
    yield summary(
        "certificate_fetch_seconds",
        "Fetches of certificates from Vault.",
        stats["fetches"],
        stats["fetch_seconds"],
    )
    yield counter("certificate_fetch_failures", "Fetches that gave no certificate.", stats["fetch_failures"])


def gauge(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label] if label else [])
    return _filled(family, value)


def counter(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """The exposition adds `_total`."""
    family = CounterMetricFamily(PREFIX + name, text, labels=[label] if label else [])
    return _filled(family, value)


def summary(name: str, text: str, count: float, total: float) -> Metric:
    """`{name}_count` and `{name}_sum`."""
    return SummaryMetricFamily(PREFIX + name, text, count_value=int(count), sum_value=total)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    values = {(): value} if isinstance(value, int | float) else {(key,): figure for key, figure in value.items()}
    for labels, figure in values.items():
        family.add_metric(labels, figure)
    return family
