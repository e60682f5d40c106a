"""Where the suite's files are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.memory import directory, has_room

PREFIX = "nameplate-memory-"
HOLDER = f"""
import sys, time
from pathlib import Path
from embedded.memory import directory
with directory({PREFIX!r}, Path(sys.argv[1]), 0) as made:
    print(made, flush=True)
    time.sleep(600)
"""
LONG_AGO = (0, 0)


def test_it_is_there_until_the_block_ends(tmp_path: Path) -> None:
    with directory(PREFIX, tmp_path, 0) as made:
        assert made.parent == tmp_path
        (made / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            left = Path(holder.stdout.readline().strip())
            os.utime(left, LONG_AGO)
            with directory(PREFIX, tmp_path, 0):
                assert left.is_dir(), "it is in use"
        finally:
            holder.kill()
    assert left.is_dir()
    os.utime(left, LONG_AGO)
    with directory(PREFIX, tmp_path, 0) as made:
        assert list(tmp_path.iterdir()) == [made]


def test_one_that_was_made_just_now_is_not_abandoned(tmp_path: Path) -> None:
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    with directory(PREFIX, tmp_path, 0):
        assert young.is_dir()


@pytest.mark.parametrize(("place", "needed"), [("there", 1 << 60), ("nowhere", 0)])
def test_without_room_it_is_where_temporary_files_are(place: str, needed: int, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert has_room(tmp_path / "there", 0)
    assert not has_room(tmp_path / place, needed)
    with directory(PREFIX, tmp_path / place, needed) as made:
        assert tmp_path not in made.parents
