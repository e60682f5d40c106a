"""The state machines as pictures and tables, made from `states.TABLES`: `python -m control.domains.drawing docs` writes
`docs/states.md` and its pictures, and a test holds them together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from control.domains.picture import picture
from control.domains.states import TABLES, Machine

TITLES: Mapping[Machine, tuple[str, str, str]] = {
    "domain": ("Domain status", "pending", "Whose the name is, and whether it is served."),
    "ssl": (
        "SSL status",
        "none",
        "Where its managed certificate is in its life. A pause after too many failures ends by itself once the\n"
        "pre-flight finds nothing wrong with a served name. One by the tenant only the tenant ends, and it leads back\n"
        "to where it came from, so a certificate that is not due costs no order; the finding is `paused_by_tenant`.\n"
        "Meanwhile the name is served while its certificate lasts, and its tenant is warned 14, 7, 3 and 1 days\n"
        "before the end. Its DNS is looked at as ever: that says whose it is.",
    ),
    "upload": (
        "Uploaded certificate",
        "none",
        "Whether the tenant's own certificate stands ([uploads.md](uploads.md)). It is independent of the other two:\n"
        "whatever the SSL status is, a proven domain is served with it, and the managed certificate lives on beneath\n"
        "it.",
    ),
}


def page() -> str:
    return "\n".join(["# The state machines", "", INTRODUCTION, *(line for name in TABLES for line in _section(name))])


INTRODUCTION = """\
Made from the tables of `control/domains/states.py` by `python -m control.domains.drawing docs`; anything else is
refused. Each step is one transaction with its audit row, its notification `domain.<audited as>` and, where the edge
must know, its change row.
"""


def pictures() -> Mapping[str, str]:
    """The SVG of each machine, by its path below docs."""
    return {_path(name): picture(TITLES[name][0], TITLES[name][1], table) for name, table in TABLES.items()}


def _section(machine: Machine) -> Iterator[str]:
    title, first, meaning = TITLES[machine]
    yield from (f"## {title}", "", meaning, "", f"![{title}: the table below as a drawing]({_path(machine)})", "")
    yield from (f"It begins as `{first}`.", "", "| from | event | to | audited as |", "| --- | --- | --- | --- |")
    for (state, event), step in TABLES[machine].items():
        yield f"| `{state}` | {event} | `{step.to}` | {step.action} |"
    yield ""


def _path(machine: Machine) -> str:
    return f"pictures/states-{machine}.svg"


if __name__ == "__main__":
    docs = Path(sys.argv[1])
    for path, text in {"states.md": page(), **pictures()}.items():
        (docs / path).write_text(text)
