"""What the sidecar's parts count, in Prometheus' terms. Names and units by https://prometheus.io/docs/practices/naming/.

Counting is the parts' own business and costs the hot path an addition; this file only gives the figures names.
`Metrics.read` takes them on the event loop; the text is made from them elsewhere, so no part needs a lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from core.families import Families, build_info, counter, gauge, summary
from sidecar.directory.stats import DirectoryStats
from sidecar.edge.stats import EdgeStats
from sidecar.grpcfast import Server
from sidecar.readiness import Readiness


class Secrets(Protocol):
    def stats(self) -> Mapping[str, float]: ...

    def type_stats(self) -> Mapping[str, Mapping[str, float]]: ...

    def platform_expiry(self) -> float | None: ...

    def expiries(self) -> Iterable[tuple[str, float]]: ...


class Resources(Protocol):
    """sidecar.xds.resources.resources.Resources"""

    @property
    def left_out(self) -> Mapping[tuple[str, str], str]: ...

    def stats(self) -> Mapping[str, float]: ...


class Vault(Protocol):
    """sidecar.certs.vault.Vault"""

    @property
    def away(self) -> bool: ...

    @property
    def answers(self) -> Mapping[str, int]: ...

    @property
    def answer_seconds(self) -> float: ...


class Metrics:
    """`checks`: checks answered, by outcome. `servers`: by what their socket is for."""

    def __init__(
        self,
        directory: Callable[[], DirectoryStats],
        edge: Callable[[], EdgeStats],
        checks: Callable[[], Mapping[str, int]],
        servers: Mapping[str, Server],
        secrets: Secrets,
        resources: Resources,
        vault: Vault,
        readiness: Callable[[], Readiness],
    ) -> None:
        self._directory = directory
        self._edge = edge
        self._checks = checks
        self._servers = servers
        self._secrets = secrets
        self._resources = resources
        self._vault = vault
        self._readiness = readiness
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def read(self) -> Callable[[], bytes]:
        """Take the figures now; calling the result makes the text (format 0.0.4), in any thread."""
        directory, checks, secrets = self._directory(), self._checks(), dict(self._secrets.stats())
        edge = self._edge()
        types = self._secrets.type_stats()
        servers = list(server_families(self._servers))
        platform, expiries = self._secrets.platform_expiry(), list(self._secrets.expiries())
        resources, left_out = self._resources.stats(), Counter(kind for kind, _ in self._resources.left_out)
        vault, ready = list(vault_families(self._vault)), self._readiness().ready

        def families() -> Iterator[Metric]:
            yield build_info("sidecar")
            yield gauge("ready", "1 if /readyz says that Envoy's checks and streams are answered.", ready)
            yield from directory_families(directory)
            yield from edge_families(edge)
            yield counter("checks", "Answered ext_authz checks.", checks, "outcome")
            yield from servers
            yield from secret_families(secrets)
            yield from type_families(types)
            yield from vault
            yield gauge("xds_left_out", "Rows of which nothing can be built for Envoy, by kind.", left_out, "kind")
            yield summary(
                "xds_build_seconds",
                "Builds of Envoy's configuration, in processor time.",
                resources["builds"],
                resources["build_seconds"],
            )
            yield gauge(
                "platform_certificate_not_after_timestamp_seconds",
                "End of validity of the platform's own certificate.",
                {} if platform is None else platform,
            )
            yield gauge(
                "certificate_not_after_timestamp_seconds",
                "End of validity of each certificate in memory.",
                dict(expiries),
                "hostname",
            )
            yield from self._process.collect()

        return lambda: generate_latest(Families(families))


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


def edge_families(stats: EdgeStats) -> Iterator[Metric]:
    yield gauge("edge_loaded", "1 once services and client authentication were read.", stats.loaded)
    yield gauge("edge_rows", "What all domains share, by kind.", stats.rows, "kind")
    yield gauge("edge_left_out", "Rows that cannot be used, by kind.", stats.left_out, "kind")
    yield gauge(
        "identity_not_after_timestamp_seconds",
        "End of validity of each certificate that upstreams are shown.",
        stats.identities,
        "identity",
    )
    yield counter("edge_changes", "Times the edge was another one.", stats.changes)
    yield summary("edge_load_seconds", "Times the edge was read.", stats.loads, stats.load_seconds)
    yield counter("edge_snapshot_saves", "Snapshots of the edge written.", stats.snapshot_saves)
    yield counter("edge_snapshot_failures", "Snapshots of the edge that could not be written.", stats.snapshot_failures)
    if stats.changed_at is not None:
        yield gauge("edge_changed_timestamp_seconds", "When the edge was last another one.", stats.changed_at)


def server_families(servers: Mapping[str, Server]) -> Iterator[Metric]:
    """Their connections are Envoy's worker threads, and its main thread's."""
    counts = {socket: server.counters for socket, server in servers.items()}

    def each(name: str) -> dict[str, float]:
        return {socket: getattr(count, name) for socket, count in counts.items()}

    connections = {socket: server.connections for socket, server in servers.items()}
    tasks = {socket: server.tasks for socket, server in servers.items()}
    errors: dict[tuple[str, ...], float] = {
        (socket, status.name): number for socket, count in counts.items() for status, number in count.errors.items()
    }
    yield gauge("grpc_connections", "Open connections.", connections, "socket")
    yield counter("grpc_connections_accepted", "Connections accepted.", each("connections"), "socket")
    yield counter("grpc_calls", "Calls begun.", each("calls"), "socket")
    yield counter("grpc_errors", "Calls that ended with another status than OK.", errors, "socket", "status")
    yield counter("grpc_cancelled", "Calls under way that the client gave up.", each("cancelled"), "socket")
    yield counter(
        "grpc_protocol_errors", "Connections ended for a violation of HTTP/2.", each("protocol_errors"), "socket"
    )
    yield counter("grpc_silent", "Connections ended because the client kept silent.", each("silent"), "socket")
    yield gauge("grpc_tasks", "Calls that wait, for PostgreSQL or for their client.", tasks, "socket")


# `refused`: an answer of Vault's own; `later`: it is sealed, a standby or too busy.
VAULT_OUTCOMES = ("ok", "refused", "later", "no_answer")


def vault_families(vault: Vault) -> Iterator[Metric]:
    yield gauge("vault_away", "1 while Vault does not answer as it should.", vault.away)
    answers = dict.fromkeys(VAULT_OUTCOMES, 0) | dict(vault.answers)
    yield counter("vault_requests", "Requests to Vault, by what came of them.", answers, "outcome")
    seconds = "Requests to Vault, those without an answer included."
    yield summary("vault_request_seconds", seconds, sum(vault.answers.values()), vault.answer_seconds)


ANSWERS = ("served", "removed_unknown", "removed_invalid", "removed_unavailable", "removed_unfit")


def secret_families(stats: Mapping[str, float]) -> Iterator[Metric]:
    yield gauge("envoys", "Envoys that are connected and have asked for something.", stats["envoys"])
    behind = "Envoys that have not yet answered all that they were told."
    yield gauge("envoys_behind", behind, stats["envoys_behind"])
    yield gauge("secret_streams", "Open discovery streams.", stats["streams"])
    yield gauge("secret_subscriptions", "Names subscribed to, over all streams.", stats["subscriptions"])
    answers = {answer: stats[answer] for answer in ANSWERS}
    yield counter("secret_answers", "Answers to names that were asked for.", answers, "answer")
    yield counter("secret_pushes", "Certificates and removals sent without being asked for.", stats["pushes"])
    yield counter("secret_nacks", "Responses that Envoy rejected.", stats["nacks"])
    yield counter("secret_retries", "Names tried again after a failure.", stats["retries"])
    yield gauge("ended_registrations", "Registrations that Envoy is told to ask about again.", stats["ended"])
    yield counter("ended_lists", "Lists of ended registrations sent to Envoy.", stats["ended_lists"])
    yield gauge("certificates", "Certificates of domains in memory.", stats["certificates"])
    yield summary(
        "certificate_fetch_seconds",
        "Fetches of certificates from Vault.",
        stats["fetches"],
        stats["fetch_seconds"],
    )
    yield counter("certificate_fetch_failures", "Fetches that gave no certificate.", stats["fetch_failures"])


def type_families(stats: Mapping[str, Mapping[str, float]]) -> Iterator[Metric]:
    """`stats`: by the type's short name."""

    def each(name: str) -> dict[str, float]:
        return {type_name: figures[name] for type_name, figures in stats.items()}

    yield counter("xds_resources_sent", "Resources sent to Envoy.", each("sent"), "type")
    yield counter("xds_resources_removed", "Resources that Envoy was told are not there.", each("removed"), "type")
    yield counter("xds_nacks", "Responses that Envoy rejected.", each("nacks"), "type")
    yield gauge("xds_rejected", "Resources of which some Envoy's last word was a rejection.", each("rejected"), "type")
