"""The generated code is what the sources say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def files_of(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.glob("*_pb2.py*")}


def test_generating_again_makes_no_difference(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto" / "generate.py", tmp_path], check=True)
    assert files_of(tmp_path / "sidecar" / "wire") == files_of(ROOT / "sidecar" / "wire")


def test_every_source_has_its_module_and_its_stub() -> None:
    sources = {path.stem for path in (ROOT / "proto" / "sidecar" / "wire").glob("*.proto")}
    expected = {f"{source}_pb2{suffix}" for source in sources for suffix in (".py", ".pyi")}
    assert files_of(ROOT / "sidecar" / "wire").keys() == expected
