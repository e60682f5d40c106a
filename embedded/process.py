"""One child process: started, waited for, and ended by its own id.

This file does not know what the child is. A server module gives it an argument vector, a log file, and a
probe that tells when the server answers; it hands back a `Process`.

Every child runs under `setpriv --pdeathsig` (util-linux, essential in Debian and Ubuntu): the kernel signals it
when the thread that started it ends, so a killed parent leaves no server behind. It also drops the user id where
a server refuses to be root. Both would otherwise need `preexec_fn`, which is unsafe once there are threads.
The child has a process group of its own, so that Ctrl-C in a terminal reaches the parent alone and the parent
ends its servers in order.

Exits are watched through a pidfd, so a `Process` belongs to no event loop and needs no child watcher.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[], Awaitable[bool]]
"""Answers whether the server does its job yet. Must not raise for "not yet"."""

PROBE_INTERVAL = 0.02
START_DEADLINE = 30.0
STOP_GRACE = 10.0
LOG_TAIL_BYTES = 4096


class ServerFailed(RuntimeError):
    """A server did not start, did not stop, or refused a request. The text ends with the tail of its log."""


@dataclass(slots=True)
class Process:
    """A running (or ended) child process."""

    name: str
    log_path: Path
    stop_signal: signal.Signals
    _popen: subprocess.Popen[bytes] = field(repr=False)

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_path: Path,
        ready: Probe,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        deadline: float = START_DEADLINE,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> Process:
        """Start `argv` and wait until `ready` says so, at most `deadline` seconds.

        `env` is added to the parent's environment. `user` is the numeric user and group id to run as.
        `orphan_signal` is what the kernel sends the child when its parent is gone.
        Raises `ServerFailed` when the child exits or the deadline passes first; the child is then gone.
        """
        popen = _spawn(argv, log_path=log_path, env=env, cwd=cwd, user=user, orphan_signal=orphan_signal)
        process = cls(name=name, log_path=log_path, stop_signal=stop_signal, _popen=popen)
        try:
            await process.wait_ready(process._is_bound_to_parent)
            await process.wait_ready(ready, deadline)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return process

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._popen.poll()

    async def wait_ready(self, ready: Probe, deadline: float = START_DEADLINE) -> None:
        """Wait until `ready` says so. Raises `ServerFailed` if the child exits or `deadline` seconds pass."""
        end = time.monotonic() + deadline
        while not await ready():
            if self.returncode is not None:
                raise ServerFailed(f"{self.name} exited with {self.returncode} while starting\n{self.log_tail()}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self.name} was not ready after {deadline:g} s\n{self.log_tail()}")
            await asyncio.sleep(PROBE_INTERVAL)

    async def _is_bound_to_parent(self) -> bool:
        """Whether setpriv has given way to the child: from then on a killed parent does not leave it behind."""
        try:
            return Path(os.readlink(f"/proc/{self.pid}/exe")).name != "setpriv"
        except OSError:
            return False  # it has exited, which wait_ready sees

    async def wait(self) -> int:
        """Wait for the child to exit and return its exit code."""
        if (code := self._popen.poll()) is not None:
            return code
        loop = asyncio.get_running_loop()
        exited: asyncio.Future[None] = loop.create_future()
        pidfd = os.pidfd_open(self.pid)
        loop.add_reader(pidfd, _resolve, exited)
        try:
            await exited
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        return self._popen.wait()

    async def stop(self, grace: float = STOP_GRACE) -> int:
        """Ask the child to end, kill it after `grace` seconds, and return its exit code."""
        self.signal(self.stop_signal)
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the child has ended."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)

    def log_tail(self, size: int = LOG_TAIL_BYTES) -> str:
        """The last `size` bytes of the child's log, under a heading that names the file."""
        return f"--- end of {self.log_path} ---\n{tail(self.log_path, size)}"


def _resolve(exited: asyncio.Future[None]) -> None:
    # A readable pidfd stays readable, so this may run again before the reader is removed.
    if not exited.done():
        exited.set_result(None)


def tail(path: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last `size` bytes of a text file; empty when there is none."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace")
    return ""


def children(pid: int) -> list[int]:
    """Ids of the processes whose parent is `pid`, without those that have ended and wait to be reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (status := _state_and_parent(int(entry.name))) is not None:
            state, parent = status
            if parent == pid and state != "Z":
                found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that has not ended (one that waits to be reaped has)."""
    status = _state_and_parent(pid)
    return status is not None and status[0] != "Z"


def _state_and_parent(pid: int) -> tuple[str, int] | None:
    # proc(5): "pid (comm) state ppid ..."; comm may hold spaces and brackets
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


async def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, user: int | None = None) -> str:
    """Run a command to its end and return what it wrote (both streams). Raises `ServerFailed` if it fails."""

    def blocking() -> subprocess.CompletedProcess[bytes]:
        # No setpriv here: the calling thread may end before this process does, and a command ends by itself.
        return subprocess.run(
            [str(arg) for arg in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd="/",
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=False,
        )

    done = await asyncio.to_thread(blocking)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ServerFailed(f"{Path(argv[0]).name} exited with {done.returncode}\n{output}")
    return output


def _spawn(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    user: int | None,
    orphan_signal: signal.Signals,
) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    if setpriv is None:
        raise ServerFailed("setpriv not found: install Debian's package util-linux")
    command = [setpriv, "--pdeathsig", orphan_signal.name.removeprefix("SIG")]
    if user is not None:
        command += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    command += ["--", *(str(arg) for arg in argv)]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd=cwd,
            process_group=0,
        )


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(env or {})}
