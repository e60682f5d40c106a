"""What a Containerfile says, as far as the tests run it: the instructions of each stage, and of those before it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stage:
    """`instructions`: (keyword, rest), those of the stage that it is made from first."""

    name: str
    base: str
    instructions: Sequence[tuple[str, str]]

    def last(self, keyword: str) -> str:
        """The one that counts. Raises LookupError."""
        found = self.all(keyword)
        if not found:
            raise LookupError(f"{self.name} has no {keyword}")
        return found[-1]

    def all(self, keyword: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == keyword]

    def words(self, keyword: str) -> list[str]:
        """Of ENTRYPOINT or CMD in the form that needs no shell. Raises ValueError for the other form."""
        return [str(word) for word in json.loads(self.last(keyword))]

    @property
    def health_check(self) -> list[str]:
        """The command. Raises ValueError when it needs a shell."""
        return [str(word) for word in json.loads(self.last("HEALTHCHECK").partition("CMD ")[2])]

    @property
    def environment(self) -> Mapping[str, str]:
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in line.split())

    @property
    def sources(self) -> set[str]:
        """The stages that it copies from."""
        return {match[1] for line in self.all("COPY") if (match := re.match(r"--from=(\S+)", line))}


def read(file: Path) -> Mapping[str, Stage]:
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE)
    lines = [line.strip() for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    stages: dict[str, Stage] = {}
    for line in lines:
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            before = stages[base].instructions if base in stages else ()
            stages[name] = Stage(name, stages[base].base if base in stages else base, before)
            current = name
        else:
            stage = stages[current]
            stages[current] = Stage(stage.name, stage.base, (*stage.instructions, (keyword, rest.strip())))
    return stages
