"""The doctor's table of findings: each can be found, has a mend that can be filled in, and stands in the docs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.doctor.finding import found, well
from cli.doctor.findings import FINDINGS, Level

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "cli" / "doctor").glob("*.py"))


def calls() -> list[tuple[str, set[str]]]:
    """The codes that the checks give, and with which facts."""
    given = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "found":
                codes = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                named = {keyword.arg or "**" for keyword in node.keywords}
                given += [(code, named) for code in codes if isinstance(code, str)]
    return given


def test_every_finding_of_the_table_is_some_check_s_and_every_check_s_is_in_the_table() -> None:
    assert {code for code, _ in calls()} == FINDINGS.keys()


@pytest.mark.parametrize(("code", "facts"), calls())
def test_a_check_gives_what_the_mend_has_placeholders_for(code: str, facts: set[str]) -> None:
    wanted = set(re.findall(r"\{(\w+)\}", FINDINGS[code].mend))
    assert "**" in facts or wanted <= facts


@pytest.mark.parametrize("code", FINDINGS)
def test_a_finding_stands_in_the_docs_as_it_is(code: str) -> None:
    known = FINDINGS[code]
    mend = known.mend.replace("|", "\\|")
    assert f"| `{code}` | {known.level} | {known.meaning} | `{mend}` |" in (ROOT / "docs" / "doctor.md").read_text()
    assert known.level is not Level.WELL


def test_what_is_well_has_neither_a_code_nor_a_mend() -> None:
    assert (well("a", "b").code, well("a", "b").mend) == ("", "")
    assert found("clock_off", "clock", "x").mend == "timedatectl set-ntp true"


@pytest.mark.parametrize(("process", "absent"), [("control", {"sidecar"}), ("sidecar", {"control", "api", "dns"})])
def test_the_doctor_of_a_process_imports_nothing_that_its_image_does_not_have(process: str, absent: set[str]) -> None:
    code = (
        f"import sys, cli.doctor.run, cli.doctor.{process}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not absent & set(loaded)
