"""What the pages have in common: a table, and text that does not break one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Its lines, with an empty one before and after; nothing without rows."""
    if not rows:
        return
    yield ""
    yield _row(header)
    yield _row(["---" for _ in header])
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: Sequence[str]) -> str:
    texts = [" ".join(cell.split()).replace("|", "\\|") for cell in cells]
    return f"|{'|'.join(f' {text} ' if text else ' ' for text in texts)}|"


def joined(lines: Iterator[str]) -> str:
    """A page of lines, never with two empty ones together."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip() + "\n"


def prose(text: str) -> str:
    """Text of the code as Markdown: `<` is no tag outside of backticks."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def anchor(name: str) -> str:
    """A place that links lead to: `problems.md#name`."""
    return f'<a id="{name}"></a>'
