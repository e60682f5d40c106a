"""docs/reference is what the code says, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.catalogue import CATALOGUE
from api.operations import OPERATIONS
from api.schemas import SCHEMAS
from cli.reference import settings
from cli.reference.command import Page, pages

DOCS = Path(__file__).parents[3] / "docs" / "reference"
COMMAND = "nameplate reference --write docs/reference"


@pytest.mark.parametrize("page", Page)
def test_a_page_is_what_the_code_says(page: Page) -> None:
    assert (DOCS / f"{page}.md").read_text() == pages()[page](), COMMAND


def test_every_operation_and_every_schema_has_its_part() -> None:
    text = pages()[Page.api]()
    headings = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert len(headings) == len(set(headings)), "two parts would share an anchor"
    assert set(headings) == {operation.summary for operation in OPERATIONS} | set(SCHEMAS)


def test_every_problem_has_a_place_that_links_lead_to() -> None:
    text = pages()[Page.problems]()
    for code in CATALOGUE:
        assert text.count(f'<a id="{code}"></a>') == 1


def test_every_setting_of_every_process_is_there_once_and_says_what_it_is() -> None:
    listed = [setting for rows in settings.sections().values() for setting in rows]
    names = [setting.name for setting in listed]
    assert len(names) == len(set(names))
    fields = sum(len(reader.model_fields) for reader in settings.READERS.values())
    assert fields == sum(len(settings.readers(name)) for name in names)
    assert [setting.name for setting in listed if not setting.field.description] == []
    assert set(settings.sections()) <= set(settings.TITLES.values()), "a class without a title"


def test_what_is_secret_is_said_to_be() -> None:
    text = pages()[Page.settings]()
    rows = [line for line in text.splitlines() if line.startswith("| <a")]
    for word in ("_DATABASE_URL", "_SECRET_ID`", "_TSIG_SECRET`", "_SMTP_URL"):
        named = [row for row in rows if word in row.split("|")[1]]
        assert named, word
        assert all("*secret*" in row for row in named)
