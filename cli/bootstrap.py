"""`nameplate bootstrap`: the one file that an Envoy is started with."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer


def bootstrap(
    node_id: Annotated[str | None, typer.Option(help="This Envoy's name. Default: the host's name.")] = None,
    check_address: Annotated[
        str, typer.Option(help="The sidecar's: unix:PATH or HOST:PORT.", envvar="NAMEPLATE_CHECK_ADDRESS")
    ] = "unix:/run/nameplate/check.sock",
    xds_address: Annotated[
        str, typer.Option(help="The sidecar's: unix:PATH or HOST:PORT.", envvar="NAMEPLATE_XDS_ADDRESS")
    ] = "unix:/run/nameplate/xds.sock",
    admin: Annotated[
        str, typer.Option(help="Envoy's administration, unix:PATH or IP:PORT. It can stop Envoy: keep it on loopback.")
    ] = "127.0.0.1:9901",
    connections: Annotated[int, typer.Option(min=1, help="From clients, at most.")] = 50_000,
    heap: Annotated[int, typer.Option(min=1, help="MiB of memory that Envoy defends; 24 KB a certificate.")] = 2048,
    envoy_version: Annotated[str, typer.Option(help="As `envoy --version` says it: 1.40.0.")] = "1.40",
    tls_cert: Annotated[Path | None, typer.Option(help="On Envoy's machine; the three are for HOST:PORT.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="PEM of the CA of the sidecar's certificate.")] = None,
) -> None:
    """Print Envoy's configuration: `nameplate bootstrap > envoy.yaml; envoy -c envoy.yaml`.

    It names the sidecar and Envoy's own limits. Listeners, routes, clusters and secrets come from the sidecar, by its
    own settings (`NAMEPLATE_LANE`, `NAMEPLATE_HTTPS_PORT`, …), and change without a restart.
    """
    from sidecar.bootstrap import Bootstrap, BootstrapError, TlsToSidecar

    files = [file for file in (tls_cert, tls_key, tls_ca) if file is not None]
    if len(files) not in (0, 3):
        typer.echo("nameplate: --tls-cert, --tls-key and --tls-ca belong together", err=True)
        raise typer.Exit(2)
    wanted = Bootstrap(
        node_id=node_id if node_id is not None else socket.gethostname(),
        check=check_address,
        xds=xds_address,
        admin=admin,
        max_clients=connections,
        max_heap_bytes=heap * 1024 * 1024,
        tls=TlsToSidecar(*files) if files else None,
        envoy_version=envoy_version,
    )
    try:
        text = wanted.render()
    except BootstrapError as error:
        typer.echo(f"nameplate: {error.message}", err=True)
        raise typer.Exit(2) from error
    typer.echo(text, nl=False)
