"""A sidecar that samples its own stack while it serves.

    NAMEPLATE_*=... python -m bench.sampler FILE     then SIGUSR1 begins, SIGUSR2 ends and writes FILE (JSON)

The kernel's profiling timer counts CPU time of the process (setitimer(2), ITIMER_PROF) and interrupts it every
INTERVAL of it; Python then runs the handler before its next bytecode, and so in the Python function that is running or
that called what runs. What the C libraries and the kernel do is therefore on the line that called them. Nothing is
traced, and nothing costs anything between samples.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from sidecar.process import main as serve

INTERVAL = 0.001
DEEPEST = 60

Stack = tuple[str, ...]
"""`file:function:line` of each frame, outermost first."""


class Sampler:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._roots = sorted((f"{root}/" for root in {*sys.path, str(Path.cwd())} if root), key=len, reverse=True)
        self._stacks: Counter[Stack] = Counter()
        self._cpu = 0.0

    def install(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._begin)
        signal.signal(signal.SIGUSR2, self._end)
        signal.siginterrupt(signal.SIGPROF, False)

    def _begin(self, _number: int, _frame: FrameType | None) -> None:
        self._stacks.clear()
        self._cpu = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None and len(stack) < DEEPEST:
            code = frame.f_code
            stack.append(f"{code.co_filename}:{code.co_qualname}:{frame.f_lineno}")
            frame = frame.f_back
        self._stacks[tuple(reversed(stack))] += 1

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        found = {
            "cpu": time.process_time() - self._cpu,
            "stacks": [[[self._shortened(name) for name in stack], count] for stack, count in self._stacks.items()],
        }
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps(found))
        written.rename(self._path)

    def _shortened(self, name: str) -> str:
        """As it would be imported."""
        return next((name.removeprefix(root) for root in self._roots if name.startswith(root)), name)


def main() -> int:
    Sampler(Path(sys.argv[1])).install()
    return serve()


if __name__ == "__main__":
    sys.exit(main())
