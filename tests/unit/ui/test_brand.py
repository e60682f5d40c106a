"""A platform's colour can be read on light and on dark, whatever it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ui.brand import DARK, LIGHT, READABLE, Brand, Color, contrast, on, parse_color, readable

parts = st.integers(0, 255)
colors = st.tuples(parts, parts, parts)
SHEET = Path(__file__).parents[3] / "api" / "ui" / "static" / "site.css"


@given(colors)
def test_any_colour_is_made_readable_and_what_is_readable_stays(color: Color) -> None:
    for ground in (LIGHT, DARK):
        made = readable(color, ground)
        assert contrast(made, ground) >= READABLE
        assert contrast(on(made), made) >= READABLE
        if contrast(color, ground) >= READABLE:
            assert made == color


@given(colors, colors)
def test_contrast_is_of_both_and_of_the_range(one: Color, other: Color) -> None:
    assert contrast(one, other) == contrast(other, one)
    assert 1 <= contrast(one, other) <= 21 + 1e-9


def test_contrasts_that_are_known() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(parse_color("#767676"), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("text", ["", "red", "#fff", "#gggggg", "2f5bea", "#2f5bea;", "#2f5bea\n"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        parse_color(text)


def test_the_style_is_nothing_but_variables() -> None:
    variables = r":root\{--accent:#[0-9a-f]{6};--on-accent:#[0-9a-f]{6}\}"
    pattern = rf"{variables}@media\(prefers-color-scheme:dark\)\{{{variables}\}}"
    assert re.fullmatch(pattern, Brand(accent="#ffcc00").style())


@pytest.mark.parametrize(("scheme", "ground"), [(0, LIGHT), (1, DARK)])
def test_the_style_sheets_own_colours_can_be_read(scheme: int, ground: Color) -> None:
    blocks = re.findall(r":root \{(.+?)\n? *\}", SHEET.read_text(), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", blocks[scheme]))
    shown = {name: parse_color(value if len(value) == 7 else "#" + "".join(c * 2 for c in value[1:]))
             for name, value in colors.items()}  # fmt: skip
    assert shown["card"] == ground
    for text in ("text", "muted", "good", "wait", "act", "bad"):
        for behind in ("card", "bg", "hover", "code", "field"):
            assert contrast(shown[text], shown[behind]) >= READABLE, (text, behind)
    for tone in ("good", "wait", "act", "bad", "idle"):
        assert contrast(shown[tone], shown[f"{tone}-bg"]) >= READABLE, tone
    assert contrast(shown["line-strong"], shown["field"]) >= 3, "the border of a field (WCAG 2.2, 1.4.11)"
