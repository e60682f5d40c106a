"""A state machine as an SVG: a column a state, an arrow a step, in the order of its table.

Drawn so that no arrow crosses a word whatever the table says, and readable in the light and in the dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from control.domains.states import Step

COLUMN = 118
ROW = 32
HEAD = 58
BOX = 98
MARGIN = 14

STYLE = """\
.ground{fill:#fff}.box{fill:#eef2ff;stroke:#4a5db0}.line{stroke:#c9cdd8}.arrow{stroke:#303648;fill:none}
.tip{fill:#303648}text{font:12px system-ui,sans-serif;fill:#1c2130;text-anchor:middle}.state{font-weight:600}
.event{paint-order:stroke;stroke:#fff;stroke-width:4px}
@media (prefers-color-scheme:dark){.ground{fill:#1b1e27}.box{fill:#2a3150;stroke:#8f9ff0}.line{stroke:#454a5a}
.arrow{stroke:#d5d8e3}.tip{fill:#d5d8e3}text{fill:#eceef5}.event{stroke:#1b1e27}}"""


def picture(title: str, first: str, table: Mapping[tuple[str, str], Step]) -> str:
    """`first`: the state in which it begins."""
    return "\n".join(_svg(title, _states(first, table), table)) + "\n"


def _states(first: str, table: Mapping[tuple[str, str], Step]) -> Sequence[str]:
    return list(dict.fromkeys([first, *(name for (start, _), step in table.items() for name in (start, step.to))]))


def _svg(title: str, states: Sequence[str], table: Mapping[tuple[str, str], Step]) -> Iterator[str]:
    loops = any(start == step.to == states[-1] for (start, _), step in table.items())
    width, height = MARGIN * 2 + COLUMN * len(states) + COLUMN // 2 * loops, HEAD + ROW * len(table) + MARGIN
    centre = {state: MARGIN + COLUMN * number + COLUMN // 2 for number, state in enumerate(states)}
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
    yield f"<style>{STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    yield f'<rect class="ground" width="{width}" height="{height}" rx="6"/>'
    for state, x in centre.items():
        yield f'<path class="line" d="M{x} 44V{height - MARGIN}"/>'
        yield f'<rect class="box" x="{x - BOX // 2}" y="14" width="{BOX}" height="28" rx="6"/>'
        yield f'<text class="state" x="{x}" y="33">{state}</text>'
    for number, ((start, event), step) in enumerate(table.items()):
        yield from _step(centre[start], centre[step.to], HEAD + ROW * number + 22, event)
    yield "</svg>"


def _step(start: int, end: int, y: int, event: str) -> Iterator[str]:
    words = event.replace("_", " ")
    if start == end:
        yield f'<path class="arrow" marker-end="url(#tip)" d="M{start} {y - 10}h18v10h-16"/>'
        yield f'<text class="event" x="{start + 24}" y="{y - 2}" style="text-anchor:start">{words}</text>'
        return
    forward = 1 if end > start else -1
    yield f'<path class="arrow" marker-end="url(#tip)" d="M{start} {y}H{end - forward}"/>'
    # beside the column that it starts from, so that it stands between two lines
    yield f'<text class="event" x="{start + forward * COLUMN // 2}" y="{y - 6}">{words}</text>'
