"""`nameplate tenants`: how many domains each tenant may have, and has."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    import asyncpg

    from control.domains.plans import Plan
    from core.database import Access

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

MOST = 1_000_000
DEFAULT = "default"


@app.command("list")
def show_all(
    after: Annotated[UUID | None, typer.Option(help="Only tenants after this one, in the order of their ids.")] = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 100,
) -> None:
    """A line a tenant: its id, its limit, how many domains it has. Needs `NAMEPLATE_CONTROL_DATABASE_URL`."""
    from control.domains.plans import page

    plans = _run(lambda connection: page(connection, after, most + 1))
    for plan in plans[:most]:
        typer.echo(f"{plan.tenant_id}  limit {limit_of(plan)}  used {plan.used}")
    if len(plans) > most:
        typer.echo(f"there are more: --after {plans[most - 1].tenant_id}", err=True)


@app.command()
def show(tenant: Annotated[UUID, typer.Argument(help="The tenant's UUID.")]) -> None:
    """One tenant's limit and domains, by their status. Exit 1 when it is not known."""
    from control.domains.plans import find

    plan = _run(lambda connection: find(connection, tenant))
    if plan is None:
        typer.echo(f"nameplate: there is no tenant {tenant}; it is known once it has a domain or a limit", err=True)
        raise typer.Exit(1)
    echo(plan)


@app.command()
def limit(
    tenant: Annotated[UUID, typer.Argument(help="The tenant's UUID.")],
    domains: Annotated[str, typer.Argument(help="How many domains it may have, or `default`.")],
) -> None:
    """Set what a tenant's plan allows, and write it into the audit. What it has above that stays.

    `default` is `DOMAINS_MAX_PER_TENANT` of control. Needs `NAMEPLATE_CONTROL_DATABASE_URL`.
    """
    from control.domains.plans import set_limit

    wanted = number(domains)
    echo(_run(lambda connection: set_limit(connection, tenant, wanted, f"operator:{operator()}")))


def number(text: str) -> int | None:
    """None for the default. Exits with 2."""
    if text == DEFAULT:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and int(text) <= MOST):
        typer.echo(f"nameplate: the limit is a whole number up to {MOST}, or {DEFAULT}", err=True)
        raise typer.Exit(2)
    return int(text)


def limit_of(plan: Plan) -> str:
    return DEFAULT if plan.max_domains is None else str(plan.max_domains)


def echo(plan: Plan) -> None:
    typer.echo(f"tenant      {plan.tenant_id}")
    typer.echo(f"slug        {plan.slug}")
    typer.echo(f"limit       {limit_of(plan)}")
    typer.echo(f"used        {plan.used}")
    for status, domains in sorted(plan.by_status.items()):
        typer.echo(f"  {status:<10}{domains}")
    typer.echo(f"registered  {plan.registered} in the last day, deleted ones included")


def operator() -> str:
    """Who types this, for the audit."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user that has no name
        return str(os.getuid())


def _run(work: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
    """Exit 2, with a sentence, when PostgreSQL does not do what it should."""
    from cli.complaint import explain_settings
    from control.db.away import AWAY
    from control.settings import OperatorSettings
    from core.database import trouble

    with explain_settings():
        settings = OperatorSettings()  # type: ignore[call-arg]  # from the environment
    try:
        return asyncio.run(_connected(settings.control_access(), work))
    except AWAY as error:
        typer.echo(f"nameplate: PostgreSQL: {trouble(error)}", err=True)
        raise typer.Exit(2) from error


async def _connected(access: Access, work: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
    connection = await access.connect(5)
    try:
        return await work(connection)
    finally:
        await connection.close()
