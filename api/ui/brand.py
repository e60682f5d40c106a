"""Whose pages they are: the platform's name, logo and colour; a colour is made fit to be read on light and on dark."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the style sheet has behind texts and buttons, see static/site.css.
LIGHT, DARK = (255, 255, 255), (17, 20, 25)
READABLE = 4.5  # WCAG 2.2, success criterion 1.4.3
STEP = 0.04
DEFAULT_ACCENT = "#2f5bea"

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Logo:
    """`media_type`: image/svg+xml or image/png."""

    content: bytes
    media_type: str

    @property
    def file_name(self) -> str:
        return "logo.svg" if self.media_type == "image/svg+xml" else "logo.png"


@dataclass(frozen=True, slots=True)
class Brand:
    """`accent`: #rrggbb. `return_url`: where the platform's own pages are, `support_url`: where its people help."""

    name: str = "Nameplate"
    accent: str = DEFAULT_ACCENT
    logo: Logo | None = None
    return_url: str | None = None
    support_url: str | None = None

    def style(self) -> str:
        """The variables of the style sheet, for light and for dark."""
        accent = parse_color(self.accent)
        return (
            f":root{{{_variables(accent, LIGHT)}}}"
            f"@media(prefers-color-scheme:dark){{:root{{{_variables(accent, DARK)}}}}}"
        )


def parse_color(text: str) -> Color:
    """Raises ValueError."""
    if not _COLOR.fullmatch(text):
        raise ValueError("must be a colour as #2f5bea")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def contrast(one: Color, other: Color) -> float:
    """From 1 to 21, as WCAG 2.2 has it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable(color: Color, ground: Color) -> Color:
    """The colour, or one a little nearer to black or white that can be read on the ground."""
    towards = (0, 0, 0) if _luminance(ground) > 0.18 else (255, 255, 255)
    share = 0.0
    while contrast(made := _mixed(color, towards, share), ground) < READABLE:
        share += STEP
    return made


def on(color: Color) -> Color:
    """What can be read on it: one of black and white always can."""
    return max(((255, 255, 255), (0, 0, 0)), key=lambda text: contrast(text, color))


def _variables(accent: Color, ground: Color) -> str:
    text = readable(accent, ground)
    return f"--accent:{_hex(text)};--on-accent:{_hex(on(text))}"


def _mixed(color: Color, towards: Color, share: float) -> Color:
    kept = max(0.0, 1 - share)
    red, green, blue = (round(a * kept + b * (1 - kept)) for a, b in zip(color, towards, strict=True))
    return red, green, blue


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(part / 255) for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
