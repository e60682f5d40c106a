"""What Locust is not needed for: importing it patches the process, so its users are run by test_bench."""

from __future__ import annotations

import stat
from pathlib import Path

from bench.users.target import Target


def test_a_target_is_read_as_it_was_written_and_only_by_its_owner(tmp_path: Path) -> None:
    target = Target(names=10, served=5, check_socket="/run/x.sock", tokens=["a.b.c"])
    target.write(tmp_path / "edge.json")
    assert Target.read(tmp_path / "edge.json") == target
    assert stat.S_IMODE((tmp_path / "edge.json").stat().st_mode) == 0o600
