"""wrk and h2load for ceilings, and our own generators: each a process of its own on the load's core."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.load.engine import Samples
from bench.load.message import CHECK_PATH, check_request, framed
from bench.load.plan import Plan, samples_from_json
from bench.process import on_core
from bench.stats import Distribution
from embedded import debian

SCRIPT = Path(__file__).with_name("wrk.lua")
_requests_per_second = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s").search
_counts = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout").search


class LoadFailed(RuntimeError):
    """A generator did not do what it was to do; the text has its own words."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """`latency` in seconds. `failed`: requests without a 200, connections that failed."""

    per_second: float
    requests: int
    failed: int
    latency: Distribution | None = None

    def at(self, percent: float) -> float:
        """Of the latencies, which wrk tells and h2load does not."""
        if self.latency is None:
            raise LoadFailed("the latencies are not known")
        return self.latency.at(percent)


GENERATOR = (sys.executable, "-m", "bench.load")


async def generate(plan: Plan, *cores: int) -> Samples:
    """Run our own generator."""
    output = await run(GENERATOR, cores, plan.to_json().encode())
    return samples_from_json(output)


class Generator:
    """Our own generator, under way from `start` to `stop`; the plan's `seconds` are the longest that it may take."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, plan: Plan, *cores: int) -> Self:
        """Returns when its first operation is next. Raises LoadFailed."""
        process = await _spawn(GENERATOR, cores, given=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(plan.to_json().encode())
        process.stdin.close()
        if await process.stdout.readline() != b"\n":
            _output(process, GENERATOR, *await process.communicate())
        return cls(process)

    async def stop(self) -> Samples:
        """What is under way is waited for. Raises LoadFailed."""
        if self._process.returncode is None:
            self._process.terminate()
        return samples_from_json(_output(self._process, GENERATOR, *await self._process.communicate()))

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def wrk(host: str, port: int, *, connections: int, seconds: float, core: int) -> Throughput:
    """HTTPS requests for one name on connections that stay open, in a closed loop. `seconds`: whole ones."""
    program = debian.require("wrk", "wrk")
    output = await run(
        [
            *(program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s"),
            # without the port, as a browser says it at 443
            *("--latency", "--script", SCRIPT, "--header", f"Host: {host}", f"https://{host}:{port}/"),
        ],
        core,
        env=debian.environment("wrk"),
    )
    _, found, text = output.partition("\nJSON ")
    if not found:
        raise LoadFailed(f"wrk: {output}")
    said = json.loads(text)
    if not said["requests"]:
        raise LoadFailed(f"wrk was answered nothing: {output}")
    latency = Distribution(
        count=said["requests"],
        mean=said["mean"] / 1e6,
        percentiles=tuple(value / 1e6 for value in said["percentiles"]),
        maximum=said["maximum"] / 1e6,
    )
    return Throughput(
        per_second=said["requests"] / said["microseconds"] * 1e6,
        requests=said["requests"],
        failed=said["failed"],
        latency=latency,
    )


async def h2load(
    socket: Path, name: str, *, clients: int, streams: int, seconds: float, core: int, scratch: Path
) -> Throughput:
    """Checks of one name on a Unix socket, in a closed loop of `clients` x `streams`. Its server counts what was OK."""
    program = debian.require("nghttp2-client", "h2load")
    body = scratch / "check.body"
    body.write_bytes(framed(check_request(name)))
    headers = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 10S")
    output = await run(
        [
            *(program, "--threads=1", f"--clients={clients}", f"--max-concurrent-streams={streams}"),
            *(f"--duration={seconds * 1000:.0f}ms", f"--data={body}", f"--base-uri=unix:{socket}"),
            *(f"--header={header}" for header in headers),
            f"http://authz{CHECK_PATH.decode()}",
        ],
        core,
        env=debian.environment("nghttp2-client"),
    )
    rate, counts = _requests_per_second(output), _counts(output)
    if rate is None or counts is None or not int(counts[1]):
        raise LoadFailed(f"h2load: {output}")
    return Throughput(per_second=float(rate[1]), requests=int(counts[1]), failed=sum(int(counts[n]) for n in (2, 3, 4)))


async def run(
    argv: Sequence[str | Path],
    cores: int | Collection[int],
    given: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program that ends by itself, on a core or on some. Returns its standard output. Raises LoadFailed."""
    process = await _spawn(argv, cores, given=bool(given), env=env)
    try:
        output, complaint = await process.communicate(given or None)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return _output(process, argv, output, complaint)


async def _spawn(
    argv: Sequence[str | Path], cores: int | Collection[int], *, given: bool, env: Mapping[str, str] | None = None
) -> Process:
    with on_core(*((cores,) if isinstance(cores, int) else cores)):
        return await asyncio.create_subprocess_exec(
            "setpriv",
            *("--pdeathsig", "KILL", "--"),
            *(str(argument) for argument in argv),
            stdin=PIPE if given else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=env,
        )


def _output(process: Process, argv: Sequence[str | Path], output: bytes, complaint: bytes) -> str:
    if process.returncode:
        raise LoadFailed(
            f"{Path(argv[0]).name} exited with {process.returncode}: {complaint.decode()}{output.decode()}"
        )
    return output.decode()
