"""The names that a bench registers, all of one width, so that a request is made by replacing bytes."""

from __future__ import annotations

WIDTH = 7
SUFFIX = ".shops.test"
PLATFORM = "platform.test"


def hostname(number: int) -> str:
    """`d0000042.shops.test`"""
    return f"d{number:0{WIDTH}}{SUFFIX}"


def unknown(number: int) -> str:
    """Of the same width, and never registered."""
    return f"u{number:0{WIDTH}}{SUFFIX}"
