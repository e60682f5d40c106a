"""How many certificates a minute come from one control process, with everything real: PostgreSQL, OpenBao, DNS, Pebble,
and Envoy with a sidecar that answers the challenges. And whether names that are broken for good slow the others.

The domains are proven already and each waits for its first certificate. Pebble validates at once and has no limits, so
what is measured is ours and this machine's; whose CPU a certificate costs says what bounds the rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.ground import Ground
from bench.process import cpu_seconds, on_core
from bench.result import Bound, Report
from embedded import stack as embedded
from embedded.ports import LOOPBACK
from embedded.stack import Stack

ZONE = "shops.test"
BROKEN_PART = 10  # one in so many
POLL = 0.2
PATIENCE = 1200.0

ADD = """
WITH tenant AS (
    INSERT INTO tenants (slug) SELECT 'bench-' || $1::text || '-' || n FROM generate_series(1, 20) n RETURNING id),
numbered AS (SELECT id, row_number() OVER () AS place FROM tenant),
made AS (
    INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
    SELECT t.id, $1::text || n || '.' || CASE WHEN n % $3::int = 0 THEN 'broken.' ELSE 'good.' END || $4::text, 'token',
           now() + interval '72 hours', 'verified'
    FROM generate_series(1, $2::int) n JOIN numbered t ON t.place = 1 + n % 20 RETURNING id)
INSERT INTO jobs (domain_id, kind) SELECT id, 'obtain' FROM made
"""
LIVE = "SELECT count(*) FROM custom_domains WHERE status = 'active' AND hostname LIKE $1::text || '%.good.%'"


@dataclass(frozen=True, slots=True)
class Size:
    names: int


FULL, QUICK = Size(2_000), Size(30)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(names=size.names, broken=size.names // BROKEN_PART)
    home = ground.home / "issuance"
    home.mkdir(mode=0o711)
    with on_core(*ground.cores.both):
        async with embedded.start(home, ca="pebble", validation_pause=0, control=SETTINGS) as stack:
            await stack.dns.add_zone(ZONE)
            await stack.dns.add(f"*.good.{ZONE}", "A", LOOPBACK)
            alone, costs = await _issue(stack, "a", size.names, 1_000_000)
            among, _ = await _issue(stack, "b", size.names, BROKEN_PART)
    _report(report, size, alone, among, costs)


SETTINGS: Mapping[str, str] = {"NAMEPLATE_ACME_LIMITS": "none"}


async def _issue(stack: Stack, prefix: str, names: int, broken: int) -> tuple[float, Mapping[str, float]]:
    """Seconds until every good name is live, and the CPU seconds that each server spent meanwhile."""
    good = names - names // broken
    servers = _servers(stack)
    connection = await asyncpg.connect(stack.dsn())
    try:
        before = {name: cpu_seconds(pid) for name, pid in servers.items()}
        started = time.monotonic()
        await connection.execute(ADD, prefix, names, broken, ZONE)
        while await connection.fetchval(LIVE, prefix) < good:
            if time.monotonic() - started > PATIENCE:
                raise TimeoutError(f"not live within {PATIENCE:g} s")
            await asyncio.sleep(POLL)
        seconds = time.monotonic() - started
    finally:
        await connection.close()
    return seconds, {name: cpu_seconds(pid) - before[name] for name, pid in servers.items()}


def _servers(stack: Stack) -> Mapping[str, int]:
    found = {
        "control": stack.control,
        "pebble": stack.pebble.process if stack.pebble else None,
        "sidecar": stack.sidecar,
    }
    pids = {name: process.pid for name, process in found.items() if process is not None}
    return {**pids, "postgresql": _postmaster(stack.home), "openbao": stack.openbao.pid}


def _postmaster(home: Path) -> int:
    return int(next(home.glob("**/postmaster.pid")).read_text().split()[0])


def _report(report: Report, size: Size, alone: float, among: float, costs: Mapping[str, float]) -> None:
    good = size.names - size.names // BROKEN_PART
    report.figure("rate", size.names / alone, "certificates/s", "from proven to live, nothing broken")
    report.figure("rate.among_broken", good / among, "certificates/s", "of the good names, while others fail for good")
    for name, seconds in costs.items():
        report.figure(f"cpu.{name}", seconds / size.names * 1e3, "ms", f"CPU time of {name} for one certificate")
    report.figure("cores", sum(costs.values()) / alone, "cores", "used by all of them together")
    slower = (among / good) / (alone / size.names)
    report.goal("time for a good name among broken ones, of alone", slower, "x", Bound.AT_MOST, 1.25)
