"""Where the files of Debian's packages are found, without installing any."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded import debian


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package that was unpacked here: with a program below a version, and a library."""
    monkeypatch.setattr(debian, "TOOLS", tmp_path)
    monkeypatch.setitem(debian.PACKAGES, "server", ("usr/lib/server/*/bin/served",))
    folder = tmp_path / "server"
    for file in ("usr/lib/server/17/bin/served", "usr/lib/x86_64-linux-gnu/libneeded.so.4"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).touch()
    return folder


def test_a_program_is_found_below_whichever_version_there_is(unpacked: Path) -> None:
    assert debian.require("server", "served") == unpacked / "usr/lib/server/17/bin/served"
    assert debian.is_installed("server")


def test_what_is_not_there_is_named_with_the_command_that_installs_it(unpacked: Path) -> None:
    (unpacked / "usr/lib/server/17/bin/served").unlink()
    with pytest.raises(debian.PackageMissing, match="sudo apt-get install server"):
        debian.require("server", "served")


def test_a_program_that_was_unpacked_runs_with_its_libraries(unpacked: Path, tmp_path: Path) -> None:
    assert debian.environment("server")["LD_LIBRARY_PATH"].startswith(f"{unpacked}/usr/lib/x86_64-linux-gnu")
    copy = unpacked.rename(tmp_path / "copy")
    assert debian.environment("server", copy)["LD_LIBRARY_PATH"].startswith(f"{copy}/usr/lib/x86_64-linux-gnu")
