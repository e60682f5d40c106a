"""`nameplate bench`: scenarios by name, on real servers of this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

EDGE = "edge"
FILE_WIDTH = 140


def bench(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            help="Which; default: all. `list` names them; `profile` shows where a check's time goes; `edge` starts"
            " the whole product for Locust to aim at, until Ctrl-C."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Every scenario for seconds, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where files go; default: bench/results.")] = None,
    names: Annotated[int, typer.Option(help="`edge`: live names.", min=1)] = 1_000,
    served: Annotated[int, typer.Option(help="`edge`: of those, with a certificate in Vault.", min=1)] = 200,
) -> None:
    """Measure: figures, goals and plots of each scenario, beside its peers in the same minutes (docs/benchmark.md).

    Exit 0 when everything could be measured, whether or not each goal was met.
    """
    from rich.console import Console

    from bench.run import RESULTS, run
    from bench.scenarios import EXTRA, SCENARIOS

    # a table needs its width also in a file
    console = Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
    wanted = scenarios or []
    known = [*SCENARIOS, *EXTRA]
    if wanted == ["list"]:
        typer.echo("\n".join(known))
        return
    if wanted == [EDGE]:
        from bench.standing import stand

        raise typer.Exit(asyncio.run(stand(out or RESULTS, names, min(served, names), console)))
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join([*known, EDGE])}")
    raise typer.Exit(asyncio.run(run(wanted, quick=quick, out=out or RESULTS, console=console)))
