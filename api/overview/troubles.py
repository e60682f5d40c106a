"""What is wrong with the installation just now, the worst first, each with the page or the command that helps.

Pure: figures in, sentences out. What only tenants can mend is counted elsewhere; this is what operators act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from api.overview.figures import Figures
from api.overview.fleet import Fleet, Sidecar
from api.overview.limits import CaLimits
from api.overview.replicas import Replica

Level = Literal["down", "danger", "attention"]

LEVELS: Final[tuple[Level, ...]] = ("down", "danger", "attention")
PAGES: Final = "/ui/operator"
OLD_FIGURES: Final = 600.0  # seconds
LONG_UNCOVERED: Final = 1800.0  # seconds after which a row of the audit should be covered by a checkpoint
LONG_QUEUE: Final = 6 * 3600.0  # seconds
OLD_DELIVERY: Final = 3600.0
FEW: Final = 3  # names in a sentence


@dataclass(frozen=True, slots=True)
class Trouble:
    """`page`: where it is shown; `command`: what looks further, or mends it, on the machine that it is about."""

    code: str
    level: Level
    message: str
    page: str | None = None
    command: str | None = None


def trouble_of(trouble: Trouble) -> dict[str, Any]:
    return {
        "code": trouble.code,
        "level": trouble.level,
        "message": trouble.message,
        "page": trouble.page,
        "command": trouble.command,
    }


def troubles(
    fleet: Fleet, figures: Figures, replicas: Sequence[Replica], limits: Sequence[CaLimits]
) -> Sequence[Trouble]:
    found = [
        *_of_fleet(fleet),
        *_of_cas(replicas),
        *_of_domains(figures),
        *_of_limits(limits, fleet),
        *_of_rest(figures),
    ]
    return sorted([*found, *_of_replicas(replicas)], key=lambda one: LEVELS.index(one.level))


def _of_fleet(fleet: Fleet) -> Iterator[Trouble]:
    page, doctor = f"{PAGES}/fleet", "nameplate doctor"
    live = fleet.live
    if not fleet.listens:
        message = "This replica hears no sidecar: its listening connection to PostgreSQL is cut."
        yield Trouble("fleet_unheard", "danger", message, page, doctor)
        return
    if not fleet.heard_all:
        yield Trouble(
            "fleet_unknown", "attention", "This replica has just begun to listen to the sidecars; look again.", page
        )
    elif not live:
        yield Trouble("no_sidecar", "down", "No sidecar is heard: new names and renewals reach no Envoy.", page, doctor)
    for code, level, found, one, many, command in (
        (
            "sidecar_gone",
            "danger",
            [each.id for each in fleet.sidecars if not each.live],
            "is not heard any more. If it was not taken out of service, look after it there.",
            "are not heard any more. If they were not taken out of service, look after them there.",
            doctor,
        ),
        (
            "sidecar_behind",
            "danger",
            [] if fleet.settling else [each.id for each in live if not each.newest],
            "has not read the newest change, and serves what was before it.",
            "have not read the newest change, and serve what was before it.",
            doctor,
        ),
        (
            "envoy_behind",
            "danger",
            [] if fleet.settling else [each.id for each in live if _lags(each)],
            "has an Envoy that has not taken the newest change.",
            "have Envoys that have not taken the newest change.",
            None,
        ),
        (
            "envoy_rejects",
            "danger",
            [each.id for each in live if each.rejected],
            "has an Envoy that rejects what it is told, and keeps what it had.",
            "have Envoys that reject what they are told, and keep what they had.",
            None,
        ),
        (
            "sidecar_without_envoy",
            "attention",
            [each.id for each in live if each.envoys == 0],
            "has no Envoy.",
            "have no Envoy.",
            "nameplate bootstrap",
        ),
        (
            "sidecar_older",
            "attention",
            [each.id for each in live if each.envoys is None or not each.answers],
            "is of an older release, which tells less. Upgrade it.",
            "are of an older release, which tells less. Upgrade them.",
            None,
        ),
    ):
        if found:
            yield Trouble(code, cast(Level, level), _named(found, one, many), page, command)


def _lags(sidecar: Sidecar) -> bool:
    return sidecar.newest and sidecar.envoys is not None and sidecar.acknowledged < sidecar.envoys


def _of_cas(replicas: Sequence[Replica]) -> Iterator[Trouble]:
    out: dict[str, list[str]] = {}
    names: set[str] = set()
    for replica in replicas:
        if replica.live:
            for ca in replica.cas:
                names.add(ca.name)
                if ca.state == "out":
                    out.setdefault(ca.name, []).append(replica.name)
    live = sum(replica.live for replica in replicas)
    for name, by in sorted(out.items()):
        level: Level = "down" if len(out) == len(names) and len(by) == live else "danger"
        yield Trouble(
            "ca_out", level, f"{name} is passed over by {len(by)} of {live} replicas of control.", f"{PAGES}/cas"
        )


def _of_domains(figures: Figures) -> Iterator[Trouble]:
    if figures.expired:
        message = f"{_counted(figures.expired, 'domain is', 'domains are')} served with a certificate that has ended."
        yield Trouble("certificate_expired", "down", message, f"{PAGES}/domains?expiring=1")
    if soon := figures.expiring.get(1, 0):
        message = f"{_counted(soon, 'certificate ends', 'certificates end')} within a day."
        yield Trouble("certificate_ending", "danger", message, f"{PAGES}/domains?expiring=1")
    if figures.late:
        message = f"{_counted(figures.late, 'renewal is', 'renewals are')} late."
        yield Trouble("renewals_late", "danger", message, f"{PAGES}/domains?late=true")
    for one in figures.failing:
        if one.who == "operator":
            message = f"{_counted(one.number, 'domain fails', 'domains fail')} for what only you can mend: {one.code}."
            yield Trouble("failing_for_operator", "danger", message, f"{PAGES}/domains?failing={one.code}")
    if figures.age > OLD_FIGURES:
        message = f"The domains were last counted {round(figures.age / 60)} minutes ago, and it takes too long."
        yield Trouble("figures_old", "attention", message, None, "VACUUM ANALYZE custom_domains")


def _of_limits(limits: Sequence[CaLimits], fleet: Fleet) -> Iterator[Trouble]:
    page = f"{PAGES}/limits"
    for ca in limits:
        if any(not key for _, key, _ in ca.refused):
            yield Trouble("ca_limit_refused", "danger", f"{ca.name} says that the account is at a limit.", page)
        elif any(one.room == 0 for one in ca.account):
            message = f"The account at {ca.name} is at its limit; orders wait."
            yield Trouble("ca_limit_reached", "attention", message, page)
        if ca.waiting_until is not None and (ca.waiting_until - fleet.now).total_seconds() > LONG_QUEUE:
            message = f"{ca.waiting} orders wait; the last of them has its turn in {_hours(ca, fleet)} hours."
            yield Trouble("orders_wait_long", "attention", message, page)
        if ca.per_day is not None and ca.due_day > ca.per_day:
            message = f"{ca.due_day} renewals begin within a day; {ca.name} takes {ca.per_day} orders a day."
            yield Trouble("renewals_too_many", "danger", message, page)


def _of_rest(figures: Figures) -> Iterator[Trouble]:
    """What waited for too long when it was counted: it may be over since."""
    page = f"{PAGES}/deliveries"
    if figures.admin_endpoints_failing:
        message = "Your own notifications do not arrive (NAMEPLATE_ADMIN_WEBHOOK_URL, NAMEPLATE_ADMIN_EMAIL)."
        yield Trouble("admin_endpoint_failing", "danger", message, page)
    if figures.dead:
        message = f"{_counted(figures.dead, 'notification was', 'notifications were')} given up."
        yield Trouble("dead_letters", "attention", message, page)
    if figures.oldest is not None and (figures.at - figures.oldest).total_seconds() > OLD_DELIVERY:
        message = f"A notification waits for more than an hour; {figures.waiting} wait in all."
        yield Trouble("deliveries_wait_long", "attention", message, f"{page}?state=pending")
    if figures.uncovered is not None and (figures.at - figures.uncovered).total_seconds() > LONG_UNCOVERED:
        moved = _counted(figures.unanchored, "chain of the audit is", "chains of the audit are")
        message = f"{moved} not covered by a checkpoint, one for more than half an hour."
        yield Trouble("audit_not_anchored", "danger", message, f"{PAGES}/audit", "nameplate audit verify")


def _of_replicas(replicas: Sequence[Replica]) -> Iterator[Trouble]:
    gone = [one.name for one in replicas if not one.live and not one.ended]
    if gone:
        message = "Of control, " + _named(gone, "is not heard any more.", "are not heard any more.")
        yield Trouble("control_gone", "attention", message, f"{PAGES}/cas")


def _named(names: Sequence[str], one: str, many: str) -> str:
    shown = ", ".join(names[:FEW])
    if len(names) > FEW:
        return f"{shown} and {len(names) - FEW} others {many}"
    return f"{shown} {one if len(names) == 1 else many}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _hours(ca: CaLimits, fleet: Fleet) -> int:
    assert ca.waiting_until is not None  # noqa: S101 -- as its only caller has seen
    return round((ca.waiting_until - fleet.now).total_seconds() / 3600)
