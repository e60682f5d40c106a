"""What the supervisor does about what happens. It knows no signals, clocks or processes; `loop` has them.

   main      the worker that answers, or is starting to
   next      the one that shall replace it, until it says that it is ready
   leaving   those that were replaced, until they have finished

happens                       main           next
ready                         —              becomes main; the one before leaves
exits, was told to            —              —
exits, code 4                 another sidecar, not ours, took the addresses: end
exits, code 2, never ready    end, code 2    failed; main goes on
exits otherwise               crash: next becomes main, or a new one is started, by BACKOFF
not ready in time             —              killed, and so failed
replace                       next is started; asked for again meanwhile, once more afterwards
terminate                     all are told to end, and killed when they do not
"""

from __future__ import annotations

from typing import Any, Protocol

from sidecar.supervisor.contract import ENDED, TAKEN, UNUSABLE

# Seconds from a crash to the next start. The last one for ever.
BACKOFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
# A worker that was ready for so long begins at the first one again.
STEADY = 10.0
# A worker gives up replacing another by itself (sidecar.app); this is for one that hangs.
READY_PATIENCE = 90.0
# A worker drains in seconds (sidecar.app); this is for one that hangs. systemd and Docker have deadlines of their own.
LEAVE_PATIENCE = 15.0


class Processes(Protocol):
    """Workers, by process id."""

    def start(self, *, replace: bool) -> int:
        """Raises OSError."""

    def terminate(self, pid: int) -> None: ...
    def kill(self, pid: int) -> None: ...
    def tell_replaced(self, pid: int) -> None: ...


class Report(Protocol):
    def __call__(self, event: str, level: str = "info", **facts: Any) -> None: ...


class Plan:
    """Call it with what happened; `now` is a monotonic clock's. `code` is set when all is over."""

    def __init__(self, processes: Processes, report: Report) -> None:
        self.code: int | None = None
        self._processes = processes
        self._report = report
        self._main: int | None = None
        self._next: int | None = None
        self._deadlines: dict[int, float] = {}  # of `next` and those that leave: then they are killed
        self._leaving: set[int] = set()
        self._ready_since: float | None = None
        self._once_ready = False
        self._failures = 0
        self._start_at: float | None = None
        self._again = False
        self._ending: int | None = None

    @property
    def wake_at(self) -> float | None:
        """When `passed` wants to be called."""
        times = list(self._deadlines.values())
        if self._start_at is not None:
            times.append(self._start_at)
        return min(times, default=None)

    def begin(self, now: float, *, replace: bool) -> None:
        self._start_main(now, replace=replace)

    def ready(self, pid: int, now: float) -> None:
        if pid == self._next and pid in self._deadlines:
            before, self._main, self._next = self._main, pid, None
            del self._deadlines[pid]
            assert before is not None  # noqa: S101 -- there is a next only beside a main
            self._leaving.add(before)
            self._deadlines[before] = now + LEAVE_PATIENCE
            self._processes.tell_replaced(before)
            self._report("worker_replaced", worker=pid, before=before)
        elif pid != self._main:
            return  # told to end meanwhile, or killed
        else:
            self._report("worker_ready", worker=pid)
        self._ready_since, self._once_ready = now, True
        self._replace_again(now)

    def exited(self, pid: int, code: int, now: float) -> None:
        self._deadlines.pop(pid, None)
        if pid in self._leaving:
            self._leaving.discard(pid)
            self._report("worker_left", "info" if code in {ENDED, TAKEN} else "warning", worker=pid, code=code)
        elif pid == self._next:
            self._next = None
            self._report("replacement_failed", "error", worker=pid, code=code, serving=self._main)
            self._replace_again(now)
        elif pid == self._main:
            self._main_exited(pid, code, now)
        if self._ending is not None and not self._workers():
            self.code = self._ending

    def replace(self, now: float) -> None:
        if self._ending is not None:
            return
        if self._main is None:
            self._start_main(now, replace=False)  # it was waiting after a crash
        elif self._next is not None or self._ready_since is None:
            self._again = True
        else:
            self._next = self._start(replace=True)
            if self._next is not None:
                self._deadlines[self._next] = now + READY_PATIENCE
                self._report("replacement_started", worker=self._next, serving=self._main)
            else:
                self._report("replacement_failed", "error", serving=self._main)

    def terminate(self, now: float) -> None:
        if self._ending is None:
            self._end(ENDED, now)

    def passed(self, now: float) -> None:
        """Time has."""
        for pid in [pid for pid, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[pid]
            self._report("worker_hangs", "error", worker=pid)
            self._processes.kill(pid)
        if self._start_at is not None and self._start_at <= now:
            self._start_main(now, replace=False)

    def _main_exited(self, pid: int, code: int, now: float) -> None:
        ready_since, self._main, self._ready_since = self._ready_since, None, None
        if code == TAKEN:
            self._report("replaced_by_another_sidecar", "warning", worker=pid)
            self._end(ENDED, now)
        elif code == UNUSABLE and not self._once_ready:
            self._end(UNUSABLE, now)  # it has said why
        else:
            if ready_since is not None and now - ready_since >= STEADY:
                self._failures = 0
            delay = BACKOFF[min(self._failures, len(BACKOFF) - 1)]
            self._failures += 1
            if self._next is not None and self._next in self._deadlines:  # not killed for hanging
                self._main, self._next = self._next, None
                del self._deadlines[self._main]
                self._report("worker_crashed", "error", worker=pid, code=code, instead=self._main)
                return
            self._report("worker_crashed", "error", worker=pid, code=code, restart_in=delay)
            self._start_at = now + delay

    def _replace_again(self, now: float) -> None:
        if self._again:
            self._again = False
            self.replace(now)

    def _start_main(self, now: float, *, replace: bool) -> None:
        self._start_at = None
        self._ready_since = None
        self._main = self._start(replace=replace)
        if self._main is None:
            self._start_at = now + BACKOFF[-1]
        else:
            self._report("worker_started", worker=self._main)

    def _start(self, *, replace: bool) -> int | None:
        try:
            return self._processes.start(replace=replace)
        except OSError as error:
            self._report("worker_not_started", "error", reason=str(error))
            return None

    def _end(self, code: int, now: float) -> None:
        """All of them, and then this process."""
        self._ending, self._start_at, self._again = code, None, False
        for pid in self._workers():
            self._leaving.add(pid)
            self._deadlines[pid] = now + LEAVE_PATIENCE
            self._processes.terminate(pid)
        self._main = self._next = None
        if not self._leaving:
            self.code = code

    def _workers(self) -> set[int]:
        return self._leaving | {pid for pid in (self._main, self._next) if pid is not None}
