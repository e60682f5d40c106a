"""The `nameplate` command. Each subcommand imports its own part, so that one does not pay for another."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli import audit, certificates, tenants
from cli.bench import bench
from cli.bootstrap import bootstrap
from cli.drain import drain
from cli.explain import explain
from cli.installed import InstalledCommands
from cli.reference.command import reference
from cli.screenshots import screenshots
from cli.top import top


class Process(StrEnum):
    control = "control"
    sidecar = "sidecar"


class Authority(StrEnum):
    openbao = "openbao"
    pebble = "pebble"


app = typer.Typer(
    name="nameplate",
    cls=InstalledCommands,
    help="Custom domains for SaaS platforms whose edge is Envoy.",
    epilog="Settings are environment variables; `nameplate COMMAND --help` names those that a command reads.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the story; exit 0 only if every step held.")] = False,
    ca: Annotated[Authority | None, typer.Option(help="Default: openbao where port 80 can be bound.")] = None,
) -> None:
    """Everything on this machine: real servers, two tenants, three domains, then it stays up for you."""
    from demo.run import run

    raise typer.Exit(asyncio.run(run(once=once, ca=ca)))


@app.command()
def control() -> None:
    """Run control: the tenants' REST API, the DNS verifier and the certificate lifecycle. Ends cleanly on SIGTERM.

    Any number of replicas share the work. Needs `NAMEPLATE_CONTROL_DATABASE_URL`, `NAMEPLATE_API_DATABASE_URL`,
    `NAMEPLATE_PLATFORM_DOMAIN`, `NAMEPLATE_JWT_…`, `NAMEPLATE_VAULT_…` and `NAMEPLATE_ACME_DIRECTORY_URL`;
    docs/reference/settings.md (`nameplate reference settings`) has all, with their defaults.
    """
    from control.app import main

    raise typer.Exit(main())


@app.command()
def sidecar(
    replace: Annotated[
        bool, typer.Option("--replace", help="Take over from another `nameplate sidecar` with the same settings.")
    ] = False,
    notify: Annotated[str | None, typer.Option(envvar="NOTIFY_SOCKET", hidden=True)] = None,
) -> None:
    """Run the sidecar beside an Envoy: certificates by SNI (SDS) and the tenant of each request (ext_authz, ext_proc).

    SIGHUP replaces it by a fresh one without losing a request, SIGTERM ends it, a crash is made good at once.

    Needs `NAMEPLATE_SIDECAR_DATABASE_URL`, `NAMEPLATE_PLATFORM_DOMAIN` and `NAMEPLATE_VAULT_…`;
    docs/reference/settings.md (`nameplate reference settings`) has all, with their defaults.
    """
    # The supervisor stays, so it begins anew as a small program. Modules come from where ours did.
    isolated = [] if sys.path[0] == os.getcwd() else ["-P"]
    options = ["--replace"] * replace + ([f"--notify={notify}"] if notify else [])
    os.execv(sys.executable, [sys.executable, *isolated, "-m", "sidecar.supervisor", *options])  # noqa: S606


@app.command()
def migrate() -> None:
    """Bring the database up to date. Safe to run again, and from several places at once.

    Needs `NAMEPLATE_OWNER_DATABASE_URL`: a role that may create roles and will own the tables.
    """
    import asyncpg

    from cli.complaint import explain_settings
    from control.db.migrate import Migration, MigrationError
    from control.db.migrate import migrate as apply
    from control.settings import OwnerSettings
    from core.database import trouble

    with explain_settings():
        settings = OwnerSettings()  # type: ignore[call-arg]  # from the environment

    def tell(migration: Migration) -> None:
        typer.echo(f"applied {migration.version:04} {migration.name}")

    try:
        done = asyncio.run(apply(settings.owner_access(), tell))
    except (MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        typer.echo(f"nameplate: the database was not migrated: {trouble(error)}", err=True)
        raise typer.Exit(1) from error
    if not done:
        typer.echo("up to date")


@app.command()
def token(
    tenant: Annotated[UUID | None, typer.Option(help="The tenant's UUID.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="For the platform's own admin, of no tenant.")] = False,
    key: Annotated[Path, typer.Option(help="A P-256 key in PEM; made when there is none.")] = Path("dev-jwt-key.pem"),
    issuer: Annotated[
        str, typer.Option(help="`iss`", envvar="NAMEPLATE_JWT_ISSUER")
    ] = "https://identity.nameplate.test",
    audience: Annotated[str, typer.Option(help="`aud`", envvar="NAMEPLATE_JWT_AUDIENCE")] = "nameplate",
    subject: Annotated[str, typer.Option(help="`sub`")] = "developer",
    hours: Annotated[float, typer.Option(help="How long it is good for.", min=0.01, max=24 * 365)] = 1.0,
    jwks: Annotated[
        Path | None, typer.Option(help="Also write the public key here, for NAMEPLATE_JWT_JWKS_FILE.")
    ] = None,
) -> None:
    """Print a JWT for development. In production the platform's own identity provider signs them."""
    from embedded.identity import IdentityProvider

    if admin == (tenant is not None):
        raise typer.BadParameter("A token is for a tenant (--tenant UUID), or for the admin (--admin).")
    try:
        provider = IdentityProvider.from_file(key, issuer, audience)
        if jwks is not None:
            jwks.write_text(provider.jwks())
        lifetime = int(hours * 3600)
        signed = (
            provider.operator_token(subject, lifetime) if tenant is None else provider.token(tenant, subject, lifetime)
        )
    except (OSError, ValueError, TypeError) as error:  # TypeError: the key is encrypted
        typer.echo(f"nameplate: no token was made with {key}: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(signed)


@app.command()
def vault_policy(
    process: Annotated[Process, typer.Argument(help="Whose policy.")],
    mount: Annotated[str, typer.Option(help="The KV v2 mount.", envvar="NAMEPLATE_VAULT_MOUNT")] = "secret",
) -> None:
    """Print a Vault policy: `nameplate vault-policy sidecar | vault policy write nameplate-sidecar -`."""
    from core.vault import control_policy, sidecar_policy

    typer.echo({Process.control: control_policy, Process.sidecar: sidecar_policy}[process](mount), nl=False)


@app.command()
def doctor(
    process: Annotated[Process, typer.Argument(help="Whose settings are read.")] = Process.control,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    envoy: Annotated[str | None, typer.Option(help="Of the sidecar: Envoy, if it is not on the PATH.")] = None,
    envoy_admin: Annotated[
        str, typer.Option(help="Of the sidecar: Envoy's administration, unix:PATH or IP:PORT.")
    ] = "127.0.0.1:9901",
) -> None:
    """Check what control, or a sidecar, needs, and name the command that mends each finding.

    Run it with the settings of that process: it reads the same environment variables.

    Exit 0: all is well, or there are warnings only; 1: something is wrong; 2: the settings cannot be used.
    """
    from cli.doctor import run

    checks = run.of_control() if process is Process.control else run.of_sidecar(envoy, envoy_admin)
    raise typer.Exit(run.say(asyncio.run(run.examine(checks)), as_json=as_json))


app.command()(bench)
app.command()(screenshots)
app.command()(bootstrap)
app.command()(drain)
app.command()(explain)
app.command()(top)
app.command()(reference)
app.add_typer(audit.app, name="audit", help="Verify the audit log.")
app.add_typer(tenants.app, name="tenants", help="How many domains tenants may have.")
app.add_typer(certificates.app, name="certificates", help="Replace certificates before their time.")

if __name__ == "__main__":
    sys.exit(app())
