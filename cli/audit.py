"""`nameplate audit`: the audit log proves itself whole, or says where it is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from control.audit.chain import Finding
    from control.audit.verify import Report
    from control.settings import AuditSettings, OperatorSettings
    from control.vault import Vault

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

MOST_LINES = 1000


@app.command()
def verify(
    tenant: Annotated[UUID | None, typer.Option(help="Only this tenant's chain.")] = None,
    without_vault: Annotated[
        bool, typer.Option("--without-vault", help="Do not compare the last checkpoint with Vault.")
    ] = False,
) -> None:
    """Find every changed, removed or reordered row. Exit 0: none; 1: a line for each; 2: it could not be verified.

    Needs `NAMEPLATE_CONTROL_DATABASE_URL`, and `NAMEPLATE_VAULT_…` unless `--without-vault` is given.
    """
    from cli.complaint import explain_settings
    from control.settings import AuditSettings, OperatorSettings
    from control.vault import Vault

    settings: AuditSettings | OperatorSettings
    vault = None
    with explain_settings():
        if without_vault:
            settings = OperatorSettings()  # type: ignore[call-arg]  # from the environment
        else:
            settings = AuditSettings()  # type: ignore[call-arg]
            vault = Vault.of(settings)
    report: Report = _run(_verify(settings, vault, tenant))
    if tenant is not None and report.tenants == 0 and not report.findings:
        typer.echo(f"there is no chain of tenant {tenant}", err=True)
        raise typer.Exit(2)
    for finding in report.findings[:MOST_LINES]:
        typer.echo(line(finding))
    if len(report.findings) > MOST_LINES:
        typer.echo(f"… and {len(report.findings) - MOST_LINES} more")
    verdict = f"{len(report.findings)} findings" if report.findings else "whole"
    typer.echo(f"{report.rows} rows of {report.tenants} tenants, {report.checkpoints} checkpoints: {verdict}")
    if report.findings:
        raise typer.Exit(1)


@app.command()
def accept() -> None:
    """After a restore from a backup: make a checkpoint of what the database has, and let Vault have that one.

    Vault keeps what it had as an older version. Needs what `nameplate audit verify` needs.
    """
    from cli.complaint import explain_settings
    from control.settings import AuditSettings
    from control.vault import Vault

    with explain_settings():
        settings = AuditSettings()  # type: ignore[call-arg]  # from the environment
    number: int | None = _run(_accept(settings, Vault.of(settings)))
    typer.echo("there is nothing to anchor" if number is None else f"checkpoint {number} is anchored")


def line(finding: Finding) -> str:
    """'removed: tenant …, rows 7 to 9: was written and is not there'"""
    what = "checkpoint" if finding.tenant_id is None else f"tenant {finding.tenant_id}, row"
    where = str(finding.first) if finding.first == finding.last else f"{finding.first} to {finding.last}"
    row = f" (audit.id {finding.audit_id})" if finding.audit_id is not None else ""
    return f"{finding.code}: {what} {where}{row}: {finding.message}"


async def _verify(settings: OperatorSettings | AuditSettings, vault: Vault | None, tenant: UUID | None) -> Report:
    from control.audit.anchor import Anchor
    from control.audit.verify import verify
    from core.vault import AUDIT_CHECKPOINT

    anchor = None
    if vault is not None:
        # Before the database, which so is at least as new.
        stored = await vault.read(AUDIT_CHECKPOINT)
        anchor = None if stored is None else Anchor.from_vault(stored.data)
    connection = await settings.control_access().connect(5)
    try:
        return await verify(connection, anchor, tenant)
    finally:
        await connection.close()


async def _accept(settings: AuditSettings, vault: Vault) -> int | None:
    import asyncpg

    from control.audit.anchor import Anchoring

    access = settings.control_access()
    async with asyncpg.create_pool(**access.options(), min_size=0, max_size=1, timeout=5) as pool:
        accepted = await Anchoring(pool, vault).accept()
    return None if accepted is None else accepted.number


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Exit 2, with a sentence, when PostgreSQL or Vault do not do what they should."""
    from control.db.away import AWAY
    from control.vault import VaultError
    from core.database import trouble

    try:
        return asyncio.run(coroutine)
    except VaultError as error:
        typer.echo(f"nameplate: {error}", err=True)
    except AWAY as error:
        typer.echo(f"nameplate: PostgreSQL: {trouble(error)}", err=True)
    raise typer.Exit(2)
