"""Calls to what control depends on, counted and timed: Vault, and the resolvers that it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Self

from dns.name import Name
from dns.rdatatype import RdataType
from prometheus_client import CollectorRegistry, Counter, Histogram

from control.dns.outcome import Answer, Malformed, NoData, NoName, Outcome, Refused, ServFail, Timeout, Unreachable
from control.dns.resolver import Resolver
from control.vault import Secret, Vault, VaultConflict, VaultError
from core.settings import VaultSettings

# What a resolver says, as a label.
OUTCOMES: Mapping[type[Outcome], str] = {
    Answer: "answer",
    NoName: "no_name",
    NoData: "no_data",
    ServFail: "servfail",
    Refused: "refused",
    Timeout: "timeout",
    Unreachable: "unreachable",
    Malformed: "malformed",
}
VAULT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DNS_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


class VaultMetrics:
    """`outcome`: ok, or the error's code. To have lost a check-and-set to another replica is nobody's failure: ok."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "nameplate_vault_calls_total",
            "Calls to Vault, by operation and outcome.",
            ["operation", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "nameplate_vault_call_seconds",
            "Calls to Vault, logins on the way and failures included.",
            ["operation"],
            registry=registry,
            buckets=VAULT_SECONDS,
        )

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        started, outcome = perf_counter(), "interrupted"
        try:
            yield
            outcome = "ok"
        except VaultError as error:
            outcome = "ok" if isinstance(error, VaultConflict) else error.code
            raise
        finally:
            self.calls.labels(operation, outcome).inc()
            self.seconds.labels(operation).observe(perf_counter() - started)


class MeasuredVault(Vault):
    """Made by `measured`."""

    metrics: VaultMetrics

    @classmethod
    def measured(cls, settings: VaultSettings, registry: CollectorRegistry) -> Self:
        vault = cls.of(settings)
        vault.metrics = VaultMetrics(registry)
        return vault

    async def read(self, path: str, version: int | None = None) -> Secret | None:
        with self.metrics.timed("read"):
            return await super().read(path, version)

    async def read_with_cas(self, path: str) -> tuple[Secret | None, int]:
        with self.metrics.timed("read"):
            return await super().read_with_cas(path)

    async def write(self, path: str, data: Mapping[str, Any], *, cas: int) -> int:
        with self.metrics.timed("write"):
            return await super().write(path, data, cas=cas)

    async def versions(self, path: str) -> tuple[int, ...]:
        with self.metrics.timed("versions"):
            return await super().versions(path)

    async def destroy(self, path: str) -> None:
        with self.metrics.timed("destroy"):
            await super().destroy(path)


class DnsMetrics:
    """`outcome`: a value of OUTCOMES. `resolver`: address and port."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.questions = Counter(
            "nameplate_dns_questions_total",
            "Questions to the resolvers, by what came of them.",
            ["resolver", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "nameplate_dns_question_seconds",
            "Questions to the resolvers, repeated ones as one.",
            ["resolver"],
            registry=registry,
            buckets=DNS_SECONDS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredResolver(Resolver):
    metrics: DnsMetrics = field(compare=False, repr=False)

    async def ask(
        self,
        name: Name,
        rdtype: RdataType,
        within: float,
        *,
        checking_disabled: bool = False,
        recursive: bool = True,
    ) -> Outcome:
        started = perf_counter()
        # Not super(): a dataclass with slots is another class than the one that is written here.
        outcome = await Resolver.ask(
            self, name, rdtype, within, checking_disabled=checking_disabled, recursive=recursive
        )
        self.metrics.questions.labels(self.name, OUTCOMES[type(outcome)]).inc()
        self.metrics.seconds.labels(self.name).observe(perf_counter() - started)
        return outcome


def measured(resolvers: Sequence[Resolver], registry: CollectorRegistry) -> tuple[Resolver, ...]:
    """The same resolvers, counted."""
    metrics = DnsMetrics(registry)
    return tuple(
        MeasuredResolver(address=one.address, port=one.port, timeout=one.timeout, metrics=metrics) for one in resolvers
    )
