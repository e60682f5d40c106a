"""`nameplate certificates`: what an operator does to many certificates at once."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.database import Access

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST = timedelta(days=90)


@app.callback()
def certificates() -> None:
    """Replace certificates before their time."""


@app.command()
def replace(
    within: Annotated[str, typer.Option(help="Over how long the orders are spread: `90m`, `24h`, `5d`.")],
    directory: Annotated[str | None, typer.Option(help="Those of the CA with this ACME directory URL.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Those of the issuer with this common name.")] = None,
    serials: Annotated[
        Path | None, typer.Option(help="Those whose serial is in this file: hexadecimal, one a line.")
    ] = None,
) -> None:
    """Have served certificates replaced, as after a CA's announcement that it will revoke them.

    At least one of `--directory`, `--issuer` and `--serials` chooses; of several, all must fit. Names that have moved
    away and certificates that are being renewed already are left out. The CAs' limits stand: renewals that they do not
    let through now wait. Can be repeated: nothing is put off by it.

    Needs `NAMEPLATE_CONTROL_DATABASE_URL`.
    """
    from cli.complaint import explain_settings
    from control.db.away import AWAY
    from control.settings import OperatorSettings
    from core.database import trouble

    spread = duration(within)
    if directory is None and issuer is None and serials is None:
        raise typer.BadParameter("one of --directory, --issuer and --serials must choose the certificates")
    wanted = None if serials is None else read_serials(serials)
    with explain_settings():
        settings = OperatorSettings()  # type: ignore[call-arg]  # from the environment
    try:
        number = asyncio.run(_replace(settings.control_access(), spread, directory, issuer, wanted))
    except AWAY as error:
        typer.echo(f"nameplate: PostgreSQL: {trouble(error)}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{number} certificates will be replaced within {within}")


def duration(text: str) -> timedelta:
    """'90m', '24h', '5d'. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    found = int(match[1]) * UNITS[match[2]] if match else None
    if found is None or found > LONGEST:
        raise typer.BadParameter("a time is a number with m, h or d, and at most 90d", param_hint="--within")
    return found


def read_serials(file: Path) -> frozenset[str]:
    """As the database has them: without leading zeros, colons or upper case. Raises typer.BadParameter."""
    try:
        lines = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot be read: {type(error).__name__}", param_hint="--serials") from None
    serials = frozenset(line.replace(":", "").lower().lstrip("0") for line in lines)
    wrong = sorted(serial for serial in serials if not re.fullmatch(r"[0-9a-f]{1,64}", serial))
    if wrong or not serials:
        problem = f"{wrong[0][:70]!r} is no serial in hexadecimal" if wrong else "has no serial"
        raise typer.BadParameter(problem, param_hint="--serials")
    return serials


async def _replace(
    access: Access, within: timedelta, directory: str | None, issuer: str | None, serials: frozenset[str] | None
) -> int:
    from control.certificates.renewals import replace_all

    connection = await access.connect(5)
    try:
        return await replace_all(connection, within=within, directory_url=directory, issuer=issuer, serials=serials)
    finally:
        await connection.close()
