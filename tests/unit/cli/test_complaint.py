"""A command without its settings says which are missing, and where they are explained."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from cli.complaint import ADVICE
from cli.main import app


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "sidecar"], ["migrate"]])
def test_what_is_missing_is_named_and_where_it_is_explained(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith("NAMEPLATE_"):
            monkeypatch.delenv(name)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    *missing, advice = result.stderr.splitlines()
    assert missing
    assert all(line.startswith("nameplate: NAMEPLATE_") and line.endswith(" is not set") for line in missing)
    assert advice == f"nameplate: {ADVICE}"
