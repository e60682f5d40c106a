"""Generate `sidecar/wire/` from `proto/sidecar/wire/`: `python proto/generate.py`.

With an argument, into that directory instead (the test that looks for a difference does so).
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

SOURCES = Path(__file__).parent


def generate(out: Path) -> None:
    """Write the modules and their stubs below `out`. Raises RuntimeError when protoc refuses a source."""
    files = sorted(str(path) for path in SOURCES.glob("sidecar/wire/*.proto"))
    code = protoc.main(["protoc", f"-I{SOURCES}", f"--python_out={out}", f"--pyi_out={out}", *files])
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES.parent)
