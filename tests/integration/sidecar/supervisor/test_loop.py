"""The supervisor's process, with small programs for workers: signals, exits, and what systemd is told."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from embedded.process import Process, children, is_running

Eventually = Callable[..., Awaitable[Any]]

# Ready at once, unless there is a file `unready`; it then ends with the code in the file, if there is one.
WORKER = """
import argparse, os, signal, socket, sys
from pathlib import Path
from sidecar.supervisor.contract import READY, REPLACED
parser = argparse.ArgumentParser()
parser.add_argument("--supervisor", type=int)
parser.add_argument("--replace", action="store_true")
arguments = parser.parse_args()
here = Path(sys.argv[0]).parent
def say(what):
    with (here / "said").open("a") as file:
        file.write(f"{os.getpid()} {what}\\n")
def told(*_):
    say("told to end")
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
link = socket.socket(fileno=arguments.supervisor)
say("replaces" if arguments.replace else "starts")
unready = here / "unready"
if unready.exists():
    if code := unready.read_text():
        sys.exit(int(code))
else:
    link.send(READY)
say({REPLACED: "replaced", b"": "alone"}[link.recv(64)])
"""

SUPERVISOR = """
import sys
from sidecar.supervisor.loop import run
sys.exit(run([sys.executable, sys.argv[1]], replace=False, notify=sys.argv[2]))
"""


class Scene:
    def __init__(self, home: Path, process: Process, systemd: socket.socket, eventually: Eventually) -> None:
        self.home = home
        self.process = process
        self.systemd = systemd
        self.eventually = eventually

    def said(self) -> list[tuple[int, str]]:
        lines = (self.home / "said").read_text().splitlines() if (self.home / "said").exists() else []
        return [(int(pid), what) for pid, _, what in (line.partition(" ") for line in lines)]

    async def heard(self, what: str, times: int = 1) -> list[int]:
        """The workers that have said it, when there are so many."""

        def enough() -> list[int]:
            pids = [pid for pid, said in self.said() if said == what]
            return pids if len(pids) >= times else []

        found: list[int] = await self.eventually(enough, timeout=10)
        return found

    def workers(self) -> list[int]:
        return children(self.process.pid)

    async def logged(self, event: str) -> None:
        await self.eventually(lambda: f'"event": "{event}"' in self.process.log_path.read_text(), timeout=10)

    def told_systemd(self) -> list[str]:
        told = []
        while True:
            try:
                told.append(self.systemd.recv(4096).decode())
            except BlockingIOError:
                return told


@asynccontextmanager
async def supervised(home: Path, eventually: Eventually) -> AsyncIterator[Scene]:
    (home / "worker.py").write_text(WORKER)
    (home / "supervisor.py").write_text(SUPERVISOR)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(home / "notify"))
        systemd.setblocking(False)
        process = await Process.start(
            "supervisor",
            [sys.executable, home / "supervisor.py", home / "worker.py", home / "notify"],
            log_path=home / "log",
            ready=_at_once,
        )
        try:
            yield Scene(home, process, systemd, eventually)
        finally:
            await process.stop()


async def _at_once() -> bool:
    return True


@pytest.fixture
async def scene(state_dir: Path, eventually: Eventually) -> AsyncIterator[Scene]:
    """A worker is ready."""
    async with supervised(state_dir, eventually) as scene:
        await scene.logged("worker_ready")
        yield scene


async def test_hangup_replaces_the_worker_and_the_main_process_stays(scene):
    (first,) = await scene.heard("starts")
    scene.process.signal(signal.SIGHUP)
    (second,) = await scene.heard("replaces")
    assert await scene.heard("replaced") == [first]
    await scene.logged("worker_left")
    assert scene.workers() == [second]
    assert scene.process.returncode is None
    ready, reloading, ready_again = scene.told_systemd()
    assert ready.startswith(f"READY=1\nSTATUS=worker {first}")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ready_again.startswith(f"READY=1\nSTATUS=worker {second}")


@pytest.mark.parametrize("code", ["0", "2", "3"])
async def test_a_replacement_that_does_not_start_leaves_the_worker_and_is_reported(scene, code):
    (first,) = await scene.heard("starts")
    (scene.home / "unready").write_text(code)
    scene.process.signal(signal.SIGHUP)
    await scene.logged("replacement_failed")
    assert scene.workers() == [first]
    assert "could not be replaced" in scene.told_systemd()[-1]
    (scene.home / "unready").unlink()
    scene.process.signal(signal.SIGHUP)
    assert await scene.heard("replaced") == [first]


async def test_a_killed_worker_is_started_again(scene):
    (first,) = await scene.heard("starts")
    os.kill(first, signal.SIGKILL)
    _, second = await scene.heard("starts", times=2)
    await scene.eventually(lambda: scene.workers() == [second])
    assert scene.process.returncode is None


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_tells_every_worker_and_ends(scene, ending):
    (first,) = await scene.heard("starts")
    (scene.home / "unready").write_text("")
    scene.process.signal(signal.SIGHUP)
    (second,) = await scene.heard("replaces")
    scene.process.signal(ending)
    assert await scene.process.wait() == 0
    assert sorted(pid for pid, what in scene.said() if what == "told to end") == sorted([first, second])
    assert scene.told_systemd()[-1] == "STOPPING=1"


async def test_a_signal_to_its_process_group_reaches_it_alone(scene):
    (first,) = await scene.heard("starts")
    os.killpg(scene.process.pid, signal.SIGHUP)
    assert await scene.heard("replaced") == [first]


async def test_a_worker_whose_supervisor_is_killed_ends_too(scene):
    (first,) = await scene.heard("starts")
    scene.process.kill()
    await scene.process.wait()
    assert await scene.heard("alone") == [first]
    await scene.eventually(lambda: not is_running(first))


async def test_a_worker_that_cannot_use_its_settings_ends_it_with_the_same_code(state_dir, eventually):
    (state_dir / "unready").write_text("2")
    async with supervised(state_dir, eventually) as scene:
        assert await scene.process.wait() == 2


async def test_it_is_small_and_dumps_no_core(scene):
    """5 MB of its own; the rest is the interpreter's, which every Python shares."""
    status = Path(f"/proc/{scene.process.pid}/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    assert int(own.split()[1]) < 8 * 1024
    (first,) = await scene.heard("starts")
    for pid in (scene.process.pid, first):
        (line,) = (
            line
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
            if line.startswith("Max core file size")
        )
        assert line.split()[4:6] == ["0", "0"]
