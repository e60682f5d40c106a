"""Rows of the directory made from others."""

from __future__ import annotations

from typing import Any

from sidecar.directory.entry import FIELDS, Entry


def changed(entry: Entry, **fields: Any) -> Entry:
    """As it is, but for these fields."""
    return Entry(**({name: getattr(entry, name) for name in FIELDS} | fields))
