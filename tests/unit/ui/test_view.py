"""What templates make of texts that strangers wrote."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.requests import Request

from api.ui.brand import Brand
from api.ui.files import Files
from api.ui.view import View


def shown(text: str) -> str:
    brand = Brand()
    view = View(brand, Files(brand), lambda: datetime(2026, 4, 22, 2, tzinfo=UTC))
    request = Request({"type": "http", "path": "/ui/x", "query_string": b"", "headers": []})
    about = {"title": text, "meaning": text, "who": "tenant", "way_back": False}
    return bytes(view.render(request, "refusal.html", **about).body).decode()


@pytest.mark.parametrize("turning", "\u202e\u202d\u2066\u2069\u200f\u061c")
def test_no_text_turns_its_neighbours_around(turning: str) -> None:
    page = shown(f"until {turning}9202")
    assert turning not in page
    assert f"<h1>until \\u{ord(turning):04x}9202</h1>" in page


def test_letters_of_any_script_stay_and_marks_are_escaped_once() -> None:
    page = shown("ש & ب & é <b>")
    assert "<h1>ש &amp; ب &amp; é &lt;b&gt;</h1>" in page
    assert "<!doctype html>" in page
