"""Settings as the deployment files give them: held against the settings classes, by making one of them from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OUR_VARIABLE = re.compile(r"(?:NAMEPLATE|DOMAINS)_[A-Z0-9_]+")


def variables(settings: type[BaseSettings]) -> set[str]:
    """What the class reads."""
    names = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names.update(str(choice) for choice in alias.choices)
        else:
            names.add(f"NAMEPLATE_{name.upper()}")
    return names


def read_by(
    settings: type[BaseSettings], environment: Mapping[str, str], files: Mapping[str, Path], patch: pytest.MonkeyPatch
) -> Any:
    """The settings of a process with that environment. Raises AssertionError for a variable that nobody reads, and
    pydantic's for one that is missing or wrong. `files`: folders of the process → those that stand for them here."""
    ours = {name for name in environment if OUR_VARIABLE.fullmatch(name)}
    unknown = ours - variables(settings)
    assert not unknown, f"{settings.__name__} does not read {', '.join(sorted(unknown))}"
    for name in variables(settings):
        patch.delenv(name, raising=False)
    for name in ours:
        value = environment[name]
        for folder, here in files.items():
            value = value.replace(folder, str(here))
        patch.setenv(name, value)
    return settings()


def folder_of(path: Path, *names: str) -> Path:
    """A folder with those files, each with something in it."""
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).write_text("something\n")
    return path
