"""`nameplate explain`: what would happen to a host now, asked of a sidecar's administration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

SIDECAR = "http://127.0.0.1:9902"
PATIENCE = 10.0  # seconds; a sidecar that loads takes eight at most
SERVED, NOT_SERVED, NOT_ASKED = 0, 1, 2
SECTIONS = frozenset({"asked", "served", "why", "row", "decisions", "certificate", "envoys", "listeners", "directory"})
MARKS = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[yellow]?[/]"}
VERDICTS = {True: "would be served", False: "would not be served", None: "is not in memory"}


def explain(
    host: Annotated[str, typer.Argument(help="As a browser would send it.")],
    sni: Annotated[
        str | None, typer.Option(help="The TLS server name, if it is another than the host's; '' for none.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="Of a request on the plain listener.")] = None,
    sidecar: Annotated[str, typer.Option(help="The sidecar's administration (NAMEPLATE_ADMIN_LISTEN).")] = SIDECAR,
    load: Annotated[bool, typer.Option("--load", help="Read from PostgreSQL and Vault what is not in memory.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What the sidecar says, as it is.")] = False,
) -> None:
    """Say what would happen to HOST now, and why: from the memory of the sidecar that would answer.

    Exit code: 0 it would be served; 1 it would not, or that is not in memory; 2 the sidecar did not say.
    """
    given = {"host": host, "sni": sni, "path": path, "load": "1" if load else None}
    said = ask(sidecar, {name: value for name, value in given.items() if value is not None})
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=True))
    else:
        show(said)
    raise typer.Exit(SERVED if said["served"] else NOT_SERVED)


def ask(sidecar: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Ends the command with a sentence when there is no answer."""
    import httpx

    try:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            response = client.get(f"{sidecar.rstrip('/')}/explain", params=dict(parameters))
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise _failed(f"{sidecar} does not answer: {str(error) or type(error).__name__}") from None
    try:
        said = response.json()
    except ValueError:
        said = None
    if isinstance(said, dict) and response.status_code == httpx.codes.OK and said.keys() >= SECTIONS:
        return said
    if isinstance(said, dict) and "message" in said:
        raise _failed(f"{said['message']} ({said.get('code', response.status_code)})")
    raise _failed(f"{sidecar} answers {response.status_code}, but not as a sidecar's administration does")


def _failed(message: str) -> typer.Exit:
    typer.echo(f"nameplate: {printable(message)}", err=True)
    return typer.Exit(NOT_ASKED)


def show(said: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)
    served = said["served"]
    console.print(f"{MARKS[served]} [bold]{escape(printable(said['asked']['host']))}[/] {VERDICTS[served]}")
    for why in said["why"]:
        console.print(f"    → {escape(printable(why['message']))} [dim]({escape(printable(why['code']))})[/]")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows(said):
        table.add_row(name, escape(printable(text)))
    console.print(table)


def rows(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The table: a name and a sentence each. What this sidecar has nothing to say about is left out."""
    decisions, certificate, directory = said["decisions"], said["certificate"], said["directory"]
    yield "row", _row(said["row"])
    if (tenant := said["row"]["tenant"]) is not None:
        yield "tenant", tenant
    yield "request on TLS", _decision(decisions["request"])
    if (without := decisions["request"].get("without_certificate")) is not None:
        yield "  without certificate", _decision(without)
    yield "request on port 80", _decision(decisions["plain"])
    yield "connection", _decision(decisions["connection"])
    yield "lane", said["lane"]
    yield from _envoys("  rejected by", [envoy for envoy in said["listeners"] if envoy["rejected"] is not None])
    if (service := said["service"]) is not None:
        yield from _service(service)
    yield "certificate", _certificate(certificate)
    if "names" in certificate:
        yield "  names", ", ".join(certificate["names"])
        yield "  serial", f"{certificate['serial']}, by {certificate['issuer']}"
    if certificate.get("not_after") is not None:
        yield "  until", certificate["not_after"]
    if (failure := certificate.get("last_failure")) is not None:
        yield "  last failure", f"{failure['message']} ({failure['code']}, {failure['at']})"
    yield from _envoys("  on Envoy", said["envoys"])
    if (auth := said["client_auth"]) is not None:
        yield from _client_auth(auth)
    yield "directory", _directory(directory)


def _row(row: Mapping[str, Any]) -> str:
    if row["hostname"] is None:
        return f"none: {row['why']}"
    live = "live" if row["live"] else "not live"
    return f"{row['hostname']} ({row['match']}, {live})"


def _decision(decision: Mapping[str, Any]) -> str:
    if decision["passes"]:
        return f"passes, as {decision['row']}"
    if decision["passes"] is None:
        return f"{decision['needs']} is not in memory"
    where = f" → {decision['location']}" if "location" in decision else ""
    return f"{decision['status']} {decision['outcome'].replace('_', ' ')}{where}"


def _service(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    chosen = {"domain": "the domain's choice", "tenant": "the tenant's choice", "default": "the default"}
    text = f"{service['name']} ({chosen.get(service['from'], service['from'])}), {service['state']}"
    text = text if service["reason"] is None else f"{text}: {service['reason']}"
    text = text if service["next"] is None else f"{text}; soon {service['next']}"
    yield "service", text if service["in_force"] else f"{text} (no Envoy takes its services from here)"
    if (tls := service.get("tls")) is not None:
        cas = tls["trust"]["cas"]
        trusted = cas if isinstance(cas, str) else "the machine's" if cas is None else _authorities(cas)
        yield "  must be", f"{' or '.join(tls['names'])}, signed by {tls['trust']['name']}: {trusted}"
        if (identity := tls["identity"]) is not None:
            yield "  is shown", f"{identity['name']} until {identity['not_after'] or identity['left_out'] or 'unknown'}"
    for look in service.get("upstream") or ():
        yield "  " + look["address"], "answers" if look["ok"] else f"{look['reason']} ({look['code']})"
    yield from _envoys("  on Envoy", service["envoys"])


def _authorities(cas: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{one['subject']} until {one['not_after']}" for one in cas)


def _certificate(certificate: Mapping[str, Any]) -> str:
    memory = "in memory" if certificate["in_memory"] else "not in memory"
    if certificate["in_memory"] and not certificate["current"]:
        memory = "an earlier one in memory"
    version = "" if certificate["version"] is None else f", version {certificate['version']}"
    why = f": {certificate['why']['message']}" if "why" in certificate else ""
    source = "" if certificate["source"] is None else f" ({certificate['source']}, {memory}{version})"
    return f"{certificate['state']} as {certificate['secret']!r}{source}{why}"


def _envoys(name: str, envoys: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for envoy in envoys:
        text = f"{envoy['node'] or 'unnamed'} #{envoy['stream']}: {envoy['version'] or 'nothing'}"
        if envoy["told"] != envoy["version"]:
            text += f", told {envoy['told'] or 'that there is none'}"
        rejected = envoy["rejected"]
        yield name, text if rejected is None else f"{text}, rejected {rejected['version']}: {rejected['reason']}"


def _client_auth(auth: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if auth["mode"] == "shut":
        yield "client certificate", f"nobody is let in: {auth['reason']}"
        return
    lookup = f"{auth['consumers']} consumers by {', '.join(auth['identity_by'])}" if auth["lookup"] else "no lookup"
    yield "client certificate", f"{auth['mode']}, {lookup}"
    if auth["reason"] is not None:
        yield "  CAs", auth["reason"]
    for authority in auth["cas"]:
        yield "  CA", f"{authority['subject']} until {authority['not_after']}"
    for crl in auth["crls"]:
        yield "  CRL", f"{crl['issuer']}: {crl['revoked']} revoked, of {crl['since']}, stale from {crl['until']}"
    yield from _envoys("  on Envoy", auth["envoys"])


def _directory(directory: Mapping[str, Any]) -> str:
    age = "never read" if directory["feed_age"] is None else f"read {directory['feed_age']:.1f} s ago"
    whole = "all names" if directory["complete"] else "not all names"
    stale = ", STALE: changes may be missing" if directory["stale"] else ""
    error = "" if directory["last_error"] is None else f"; {directory['last_error']}"
    return f"{directory['names']} names ({whole}), {age}, position {directory['position']}{stale}{error}"


def printable(text: str) -> str:
    """What a terminal would obey is shown instead."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
