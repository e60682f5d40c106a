"""What the pages name is there: settings, commands, operations of the API."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer

from api.operations import OPERATIONS, PREFIXES
from cli.main import app
from cli.reference import settings

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SETTING = re.compile(r"\b((?:NAMEPLATE|DOMAINS)_[A-Z0-9_]*[A-Z0-9])\b(?!_?…|\*)")
COMMAND = re.compile(r"`nameplate ([a-z-]+)")
CALL = re.compile(r"`(GET|POST|PUT|DELETE)(?:`, `(?:GET|POST|PUT|DELETE))* (/[\w/{}-]+)")

OTHERS = {"NAMEPLATE_TEST_TIME_SCALE"}  # of the tests alone
# What the pages, health and metrics answer is no operation of the API.
ELSEWHERE = ("/ui/", "/explain", "/livez", "/readyz", "/metrics", "/problems", "/openapi.json", "/stats", "/ready")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    known = {setting.name for rows in settings.sections().values() for setting in rows} | OTHERS
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {name for name in SETTING.findall(text) if name not in known} == set()
    assert set(COMMAND.findall(text)) - commands == set()
    assert {call for call in CALL.findall(text) if not is_operation(*call)} == set()


def test_the_changelog_begins_with_what_comes_next_and_has_the_present_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert headings[0] == "Unreleased"
    assert version in headings


def is_operation(method: str, path: str) -> bool:
    for prefix in PREFIXES:
        path = path.removeprefix(prefix)
    if path.startswith(ELSEWHERE):
        return True
    return any(
        one.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), path.rstrip("/"))
        for one in OPERATIONS
    )
