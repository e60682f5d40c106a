"""The release before this one, as deploy/released names it, run from its own sources beside the present ones."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from embedded.process import run

ROOT = Path(__file__).parents[2]
NAMED = ROOT / "deploy" / "released"
# All that its processes are made of.
PARTS = ("core", "sidecar", "control", "api", "cli", "embedded", "envoy")


def commit() -> str:
    """The commit; its tag stands after it, for people."""
    return NAMED.read_text().split()[0]


def unpack(into: Path, repository: Path = ROOT) -> Path:
    """Its sources, from the history of the repository. Raises AssertionError when the history does not have them."""
    command = ["git", "-C", str(repository), "archive", commit(), *PARTS]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (
        f"the release before this one cannot be had, so that an upgrade from it cannot be tried: commit {commit()} "
        f"({NAMED.relative_to(ROOT)}) is not in the history of {repository}. It has to be a clone with its history: "
        f"git fetch --unshallow. git says: {done.stderr.decode().strip()}"
    )
    into.mkdir(mode=0o755)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into


def environment(tree: Path) -> dict[str, str]:
    """Of a process whose modules are to come from there, wherever it is started."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


async def migrate(owner_dsn: str, tree: Path | None) -> str:
    """Bring a database to the release's schema, or to the present one. Returns what was said."""
    from_tree = {} if tree is None else environment(tree)
    return await run(
        [sys.executable, "-m", "cli", "migrate"], env={"NAMEPLATE_OWNER_DATABASE_URL": owner_dsn, **from_tree}
    )
