"""Leave of our packages in a virtual environment those that an image runs: `keep.py /opt/nameplate core sidecar cli`.

The wheel has all of them. What an image does not need is not there to be misused, and need not be looked at when a
fault is found in it. Raises FileNotFoundError for a package that the wheel does not have.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def keep(environment: Path, wanted: set[str]) -> None:
    (record,) = environment.glob("lib/python3.*/site-packages/nameplate-*.dist-info/RECORD")
    installed = {line.partition("/")[0] for line in record.read_text().splitlines()}
    packages = {name for name in installed if (record.parents[1] / name / "__init__.py").is_file()}
    if missing := wanted - packages:
        raise FileNotFoundError(f"not in the wheel: {', '.join(sorted(missing))}")
    for name in packages - wanted:
        shutil.rmtree(record.parents[1] / name)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), set(sys.argv[2:]))
