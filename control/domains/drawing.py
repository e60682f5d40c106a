"""The state machines as pictures and tables, made from `states.TABLES`: `python -m control.domains.drawing` prints
`docs/states.md`, and a test holds the two together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from control.domains.states import TABLES, Machine, Step

TITLES: Mapping[Machine, tuple[str, str, str]] = {
    "domain": ("Domain status", "pending", "Whose the name is, and whether it is served."),
    "ssl": ("SSL status", "none", "Where its managed certificate is in its life."),
    "upload": (
        "Uploaded certificate",
        "none",
        "Whether the tenant's own certificate stands (docs/uploads.md). It is independent of the other two: whatever\n"
        "the SSL status is, a proven domain is served with it, and the managed certificate lives on beneath it.",
    ),
}


def page() -> str:
    return "\n".join(["# The state machines", "", INTRODUCTION, *(line for name in TABLES for line in _section(name))])


INTRODUCTION = """\
Made from the tables of `control/domains/states.py` by `python -m control.domains.drawing`; anything else is refused.
Each step is one transaction with its audit row, its notification `domain.<audited as>` and, where the edge must know,
its change row.
"""


def _section(machine: Machine) -> Iterator[str]:
    title, first, meaning = TITLES[machine]
    yield from (f"## {title}", "", meaning, "", "```mermaid", "stateDiagram-v2", f"    [*] --> {first}")
    table = TABLES[machine]
    for (start, end), events in _arrows(table).items():
        yield f"    {start} --> {end}: {', '.join(events)}"
    yield from ("```", "", "| from | event | to | audited as |", "| --- | --- | --- | --- |")
    for (state, event), step in table.items():
        yield f"| `{state}` | {event} | `{step.to}` | {step.action} |"
    yield ""


def _arrows(table: Mapping[tuple[str, str], Step]) -> Mapping[tuple[str, str], list[str]]:
    """One arrow for all the events that lead from one state to another."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), step in table.items():
        arrows.setdefault((state, step.to), []).append(event)
    return arrows


if __name__ == "__main__":
    sys.stdout.write(page())
