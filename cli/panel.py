"""What `nameplate top` shows of a look at a sidecar: rows of labelled pieces with their styles. No screen, no I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from cli.scrape import Look

BARS = " ▁▂▃▄▅▆▇█"
UNKNOWN = "–"
GOOD, WARN, BAD, DIM = "green", "yellow", "bold red", "dim"

# Label, then (text, style) pieces.
Row = tuple[str, Sequence[tuple[str, str]]]


def title(sidecar: str, now: Look) -> Iterator[tuple[str, str]]:
    yield f"{sidecar}  ", "bold"
    if now.readiness["ready"]:
        yield "ready", GOOD
    else:
        yield f"NOT READY: {now.readiness.get('why_not')}", BAD
    version = next((labels.get("version", "") for labels, _ in now.figures.samples.get("nameplate_build_info", ())), "")
    if version:
        yield f"  {version}", DIM
    started = now.figures.sum("process_start_time_seconds")
    if started:
        yield f"  up {span(time.time() - started)}", DIM


def rows(now: Look, before: Look | None, checks: Sequence[float] = ()) -> Iterator[Row]:
    """The table. What the sidecar has nothing to say about is left out, as one of an older release may not."""
    yield from _checks(now, before, checks)
    yield from _names(now, before)
    yield from _envoys(now, before)
    yield from _certificates(now, before)
    yield from _process(now, before)


def _checks(now: Look, before: Look | None, checks: Sequence[float]) -> Iterator[Row]:
    rate = now.rate(before, "nameplate_checks_total")
    total = now.figures.sum("nameplate_checks_total")
    yield "checks", [(f"{number(rate)}/s", "bold"), (f"  {spark(checks)}  ", "cyan"), (f"{number(total)} in all", DIM)]
    pieces = []
    for outcome, count in now.figures.by("nameplate_checks_total", "outcome").items():
        each = now.rate(before, "nameplate_checks_total", outcome=outcome)
        if count:
            bad = outcome == "unavailable"
            pieces.append((f"{outcome} {number(each)}/s  ", BAD if bad and each else ""))
    if pieces:
        yield "", pieces
    rates = {
        result: now.rate(before, "nameplate_directory_lookups_total", result=result)
        for result in now.figures.by("nameplate_directory_lookups_total", "result")
    }
    looked = sum(rate or 0 for rate in rates.values())
    shares = [f"{result} {percent((rate or 0) / looked if looked else None)}" for result, rate in rates.items()]
    mean = ratio(now, "nameplate_directory_load_seconds")
    refused = now.rate(before, "nameplate_loads_refused_total")
    loads = now.rate(before, "nameplate_directory_load_seconds_count")
    yield (
        "lookups",
        [
            ("  ".join(shares), ""),
            (f"  loads {number(loads)}/s, {duration(mean)} each", DIM),
            (f"  refused {number(refused)}/s", BAD if refused else DIM),
        ],
    )


def _names(now: Look, before: Look | None) -> Iterator[Row]:
    names = now.figures.sum("nameplate_directory_names")
    capacity = now.figures.sum("nameplate_directory_capacity_names")
    complete = bool(now.readiness.get("complete"))
    full = bool(names and capacity and names > 0.9 * capacity)
    yield (
        "names",
        [
            (number(names), "bold"),
            (f" of {number(capacity)}", BAD if full else DIM),
            ("  all there are" if complete else "  not all there are", DIM if complete else WARN),
            (f"  {number(now.figures.sum('nameplate_challenges'))} challenges", DIM),
        ],
    )
    said = now.readiness.get("feed_age")
    age = said if isinstance(said, int | float) else None
    lost = now.figures.sum("nameplate_feed_failures_total")
    yield (
        "feed",
        [
            ("never read", BAD) if age is None else (f"read {duration(age)} ago", GOOD if age < 30 else BAD),
            ("  STALE" if now.readiness.get("stale") else "", BAD),
            (f"  position {now.readiness.get('position')}", DIM),
            (f"  changes {number(now.rate(before, 'nameplate_feed_changes_total'))}/s", ""),
            (f"  lost {number(lost)} times", DIM if not lost else WARN),
        ],
    )
    left_out = sum(now.figures.sum(f"nameplate_{part}_left_out") or 0 for part in ("edge", "xds"))
    kinds = now.figures.by("nameplate_edge_rows", "kind")
    shown = ", ".join(f"{number(count)} {kind.replace('_', ' ')}" for kind, count in kinds.items() if count)
    if kinds:
        yield "shared", [(shown or "nothing", ""), (f"  left out {number(left_out)}", BAD if left_out else DIM)]


def _envoys(now: Look, before: Look | None) -> Iterator[Row]:
    figures = now.figures
    envoys, behind = figures.sum("nameplate_envoys"), figures.sum("nameplate_envoys_behind")
    rejected, nacks = figures.sum("nameplate_xds_rejected"), figures.sum("nameplate_xds_nacks_total")
    yield (
        "envoys",
        [
            (number(envoys), "bold" if envoys or envoys is None else BAD),
            (f"  behind {number(behind)}", WARN if behind else DIM),
            (f"  streams {number(figures.sum('nameplate_secret_streams'))}", ""),
            (f"  subscriptions {number(figures.sum('nameplate_secret_subscriptions'))}", ""),
            (f"  sent {number(now.rate(before, 'nameplate_xds_resources_sent_total'))}/s", ""),
            (f"  NACKs {number(nacks)}", WARN if nacks else DIM),
            (f"  rejects {number(rejected)}", BAD if rejected else DIM),
        ],
    )


def _certificates(now: Look, before: Look | None) -> Iterator[Row]:
    figures = now.figures
    ends = figures.samples.get("nameplate_certificate_not_after_timestamp_seconds", ())
    pieces = [(number(figures.sum("nameplate_certificates")), "bold"), (" in memory", DIM)]
    if ends:
        labels, end = min(ends, key=lambda one: one[1])
        left = end - time.time()
        style = BAD if left < 86400 else WARN if left < 7 * 86400 else ""
        pieces.append((f"  first ends in {span(left)} ({labels.get('hostname', '')})", style))
    platform = figures.sum("nameplate_platform_certificate_not_after_timestamp_seconds")
    if platform:
        pieces.append((f"  the platform's in {span(platform - time.time())}", DIM))
    yield "certificates", pieces
    away = bool(figures.sum("nameplate_vault_away"))
    failures = figures.sum("nameplate_certificate_fetch_failures_total")
    yield (
        "vault",
        [
            ("AWAY" if away else "answers", BAD if away else GOOD),
            (f"  {number(now.rate(before, 'nameplate_vault_requests_total'))} requests/s", ""),
            (f"  a certificate in {duration(ratio(now, 'nameplate_certificate_fetch_seconds'))}", ""),
            (f"  failures {number(failures)}", WARN if failures else DIM),
        ],
    )


def _process(now: Look, before: Look | None) -> Iterator[Row]:
    figures = now.figures
    cores = now.rate(before, "process_cpu_seconds_total")
    files, most = figures.sum("process_open_fds"), figures.sum("process_max_fds")
    yield (
        "process",
        [
            (f"CPU {percent(cores)}", BAD if cores and cores > 0.8 else "bold"),
            (f"  memory {size(figures.sum('process_resident_memory_bytes'))}", ""),
            (f"  files {number(files)} of {number(most)}", DIM),
            (f"  waiting calls {number(figures.sum('nameplate_grpc_tasks', socket='checks'))}", DIM),
            (f"  this look {duration(now.took)}", DIM),
        ],
    )


def ratio(now: Look, summary: str) -> float | None:
    """The mean of a summary since the start; None before there was anything."""
    total, count = now.figures.sum(f"{summary}_sum"), now.figures.sum(f"{summary}_count")
    return total / count if total is not None and count else None


def spark(values: Sequence[float]) -> str:
    """A line of bars, the highest of which is the greatest of the values."""
    most = max(values, default=0.0)
    return "".join(BARS[math.ceil(value / most * (len(BARS) - 1))] if most > 0 else BARS[1] for value in values)


def number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None or not math.isfinite(share) else f"{share:.1%}"


def duration(seconds: float | None) -> str:
    """Of a moment: µs, ms or s."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def span(seconds: float) -> str:
    """Of a long time: the two greatest units."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return f"-{span(-seconds)}"
    days, hours, minutes = int(seconds // 86400), int(seconds // 3600 % 24), int(seconds // 60 % 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {int(seconds % 60)} s"


def size(count: float | None) -> str:
    return UNKNOWN if count is None or not math.isfinite(count) else f"{count / 1e6:,.0f} MB"
