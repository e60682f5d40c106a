"""`nameplate sidecar`: a worker, and this small process that keeps it alive and replaces it."""

from __future__ import annotations

import argparse
import sys

from sidecar.supervisor.loop import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="nameplate sidecar")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--notify")
    arguments = parser.parse_args()
    # A folder in which it happens to be started is searched for modules only if it was for ours.
    isolated = ["-P"] if sys.flags.safe_path else []
    return run(
        [sys.executable, *isolated, "-m", "sidecar"],
        replace=arguments.replace,
        notify=arguments.notify,
    )


sys.exit(main())
