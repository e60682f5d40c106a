from pathlib import Path

import pytest

from control.domains.drawing import page, pictures
from control.domains.states import TABLES

DOCS = Path(__file__).parents[3] / "docs"
COMMAND = "python -m control.domains.drawing docs"


def test_the_document_shows_the_tables_as_they_are() -> None:
    assert (DOCS / "states.md").read_text() == page(), COMMAND


@pytest.mark.parametrize(("path", "svg"), pictures().items())
def test_each_picture_is_of_its_table_as_it_is(path: str, svg: str) -> None:
    assert (DOCS / path).read_text() == svg, COMMAND


def test_every_step_is_drawn_once() -> None:
    drawn = "".join(pictures().values())
    rows = [(event.replace("_", " "), step) for table in TABLES.values() for (_, event), step in table.items()]
    assert drawn.count('class="event"') == drawn.count('class="arrow"') == len(rows)
    for event, _ in rows:
        assert drawn.count(f">{event}</text>") == sum(event == other for other, _ in rows)
