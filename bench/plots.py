"""The plots of a report as PNG files beside its JSON, named `<scenario>-<plot>.png`."""

from __future__ import annotations

import zlib
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display is needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.result import Plot, Report

INCHES = (8.0, 5.0)
DOTS_AN_INCH = 110
LETTERS, SHORTEST = 150, 3  # across a flame graph; of a name that can be read
STEPS = (50, 90, 99, 99.9, 99.99)


def draw(report: Report, directory: Path) -> list[Path]:
    return [_draw(report, plot, directory) for plot in report.plots]


def _draw(report: Report, plot: Plot, directory: Path) -> Path:
    path = directory / f"{report.scenario}-{plot.name}.png"
    drawing, axes = plt.subplots(figsize=INCHES, dpi=DOTS_AN_INCH, layout="constrained")
    try:
        if plot.kind == "flame":
            _flame(axes, plot)
        for line in plot.lines:
            axes.plot(*zip(*line.points, strict=True), label=line.label, marker=".")
        axes.set_title(f"{report.scenario}: {plot.title}", fontsize=10, wrap=True)
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        if plot.log_x:
            axes.set_xscale("log")
        if plot.log_y:
            axes.set_yscale("log")
        if plot.kind == "latency":
            _spread_the_tail(axes)
        if plot.lines:
            axes.grid(visible=True, which="both", alpha=0.3)
            axes.legend()
        drawing.savefig(path)
    finally:
        plt.close(drawing)
    return path


def _flame(axes: Axes, plot: Plot) -> None:
    colours = plt.colormaps["autumn"]
    for block in plot.blocks:
        shade = zlib.crc32(block.name.encode()) % 100 / 100
        axes.barh(block.depth, block.width, left=block.left, height=0.95, color=colours(shade), edgecolor="white")
        letters = int(block.width * LETTERS)
        if letters >= SHORTEST:
            name = block.name.rpartition(":")[2] or block.name
            axes.text(block.left, block.depth, f" {name[:letters]}", va="center", fontsize=6, clip_on=True)
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.set_xticks([])


def _spread_the_tail(axes: Axes) -> None:
    """x is what is left above a percentile, in percent: on a logarithmic scale each nine has the same width."""
    axes.set_xscale("log")
    axes.set_xlim(100, 0.01)
    axes.set_xticks([100 - step for step in STEPS], [f"p{step:g}" for step in STEPS])
    axes.minorticks_off()
