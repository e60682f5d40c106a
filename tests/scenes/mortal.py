"""Control processes that are killed with SIGKILL at a chosen moment.

Run as a program, it imports everything once and then forks a control process for each line of JSON on its standard
input: the wiring of a replica (it holds a secret, hence not an argument), and `die_after`, a step's name, or
`die_in`, seconds. The process works on `obtain` and `revoke` jobs until it dies or none is left; how it ended is a line
of JSON. It forks before it has any thread or event loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from scenes.issuance import SHORT, Replica

from control.worker import JobMetrics, Worker
from core import log

LONGEST_LIFE = 60  # seconds; a process that is still there then dies of SIGALRM


class Mortals:
    """Starts control processes, one after another."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        self._program = program

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Mortals]:
        tests = Path(__file__).parent.parent
        program = subprocess.Popen(
            [sys.executable, "-m", "scenes.mortal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tests)},
        )
        with program:  # closes its input, which ends it, and waits
            yield cls(program)

    async def live(
        self, wiring: dict[str, str], *, die_after: str | None = None, die_in: float | None = None
    ) -> signal.Signals | None:
        """Start one and wait for its end: the signal that killed it, or None when it had no more work."""
        return await asyncio.to_thread(self._live, {"wiring": wiring, "die_after": die_after, "die_in": die_in})

    def _live(self, order: dict[str, Any]) -> signal.Signals | None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order).encode() + b"\n")
        self._program.stdin.flush()
        end = json.loads(self._program.stdout.readline())
        assert end["code"] in (0, None), "the process failed; its log is above"
        return signal.Signals(end["signal"]) if end["signal"] else None


async def work(wiring: dict[str, str], die_after: str | None, die_in: float | None) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def on_step(name: str) -> None:
        if name == die_after:
            die()

    async with Replica.start(wiring, "mortal") as replica:
        if die_in is not None:
            asyncio.get_running_loop().call_later(die_in, die)
        metrics = JobMetrics(CollectorRegistry())
        workers = [
            Worker(replica.jobs, "obtain", replica.obtainer(on_step, limits=SHORT).obtain, 4, metrics),
            Worker(replica.jobs, "revoke", replica.revoker(on_step).revoke, 4, metrics),
        ]
        working = [asyncio.create_task(worker.run()) for worker in workers]
        while await replica.pool.fetchval("SELECT EXISTS (SELECT FROM jobs)"):
            await asyncio.sleep(0.02)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def main() -> None:
    log.configure("control")  # on standard error; standard output is for the answers
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.alarm(LONGEST_LIFE)
            asyncio.run(work(**json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        end = {
            "signal": os.WTERMSIG(status) if killed else None,
            "code": None if killed else os.waitstatus_to_exitcode(status),
        }
        print(json.dumps(end), flush=True)


if __name__ == "__main__":
    main()
