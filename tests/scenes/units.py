"""Unit files of deploy/systemd, read as far as the tests run them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenes.deployed import DEPLOY

FOLDER = DEPLOY / "systemd"
OPT = "/opt/nameplate"


@dataclass(frozen=True, slots=True)
class Unit:
    """`lines`: (section, name, value) in their order."""

    path: Path
    lines: Sequence[tuple[str, str, str]]

    @classmethod
    def read(cls, name: str) -> Unit:
        section, lines = "", []
        for line in (FOLDER / name).read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                lines.append((section, key, value))
        return cls(FOLDER / name, lines)

    def all(self, key: str) -> list[str]:
        return [value for _, name, value in self.lines if name == key]

    def one(self, key: str) -> str:
        (value,) = self.all(key)
        return value

    @property
    def credentials(self) -> Mapping[str, str]:
        """Name → the file that it is loaded from."""
        return dict(value.split(":", 1) for value in self.all("LoadCredential"))

    def environment(self, example: str | None = None) -> dict[str, str]:
        """What the process gets, %d as it stands; the file is the one in this folder that the unit's stands for."""
        lines = []
        for file in self.all("EnvironmentFile"):
            assert Path(file).parent == Path("/etc/nameplate")
            text = (FOLDER / (example or Path(file).name)).read_text()
            lines += [line for line in text.splitlines() if line and not line.startswith("#")]
        return dict(line.split("=", 1) for line in [*lines, *self.all("Environment")])

    def command(self, key: str, places: Mapping[str, str]) -> list[str]:
        """`places`: paths of the unit → what stands for them here."""
        words = shlex.split(self.one(key))
        return [places.get(word, word) for word in words]
