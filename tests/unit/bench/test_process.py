from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from bench.process import Neighbours, begun_on_core, cpu_seconds, family, on_core, resident_bytes

SPIN = """
import time
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
print(time.process_time(), flush=True)
input()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}])"


def test_cpu_time_and_memory_are_those_of_a_process_and_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert float(parent.stdout.readline()) >= 0.2
        members = family(parent.pid)
        assert len(members) == 2
        assert 0.2 <= cpu_seconds(parent.pid) < 2.0
        assert resident_bytes(parent.pid) > resident_bytes(members[1]) > 1_000_000
        parent.stdin.close()


def test_cpu_time_agrees_with_the_process_s_own_clock() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        own = float(process.stdout.readline())
        assert own <= cpu_seconds(process.pid) < own + 0.1
        process.stdin.close()


def test_what_starts_on_a_core_stays_there_and_the_caller_does_not() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        output = subprocess.run(
            [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"], capture_output=True, check=True
        ).stdout
    assert output.split() == [str(core).encode()]
    assert os.sched_getaffinity(0) == before


def test_what_others_use_is_told_from_what_we_use() -> None:
    """Ours is a child that has ended by then: it must not be taken for somebody else's."""
    neighbours = Neighbours.now()
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", SPIN.replace("0.2", "0.5")], input=b"\n", capture_output=True, check=True)
    seconds = time.monotonic() - started
    everything = (Neighbours.now().busy - neighbours.busy) / seconds
    assert neighbours.cores_since() <= everything - 0.3 / seconds


async def test_what_begins_on_a_core_stays_there_while_the_caller_waits_elsewhere() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)

    async def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", "import os; input(os.sched_getaffinity(0))"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        await asyncio.sleep(0)
        assert os.sched_getaffinity(0) == before
        return process

    process = await begun_on_core(start(), core)
    output, _ = process.communicate(b"\n")
    assert output == b"{%d}" % core
