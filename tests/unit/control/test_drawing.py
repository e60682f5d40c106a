from pathlib import Path

from control.domains.drawing import page
from control.domains.states import TABLES

DOCUMENT = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_document_shows_the_tables_as_they_are() -> None:
    assert DOCUMENT.read_text() == page(), "python -m control.domains.drawing > docs/states.md"


def test_every_step_is_drawn_once() -> None:
    arrows = [line for line in page().splitlines() if " --> " in line and "[*]" not in line]
    drawn = [event for line in arrows for event in line.partition(": ")[2].split(", ")]
    assert sorted(drawn) == sorted(event for table in TABLES.values() for _, event in table)
