"""Knot, an authoritative DNS server (Debian's package `knot`), on loopback: a primary, and secondaries that copy it.

The primary takes updates signed with a TSIG key (RFC 2136, RFC 8945). The secondaries take the zone from it by
transfer: when it tells them of a change (RFC 1996), or only when they are asked to.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype
from dns.rcode import Rcode

from embedded import debian
from embedded.ports import LOOPBACK, free_udp_and_tcp_port
from embedded.process import Process, run

PROBE_TIMEOUT = 2.0
ALGORITHM = "hmac-sha256"
KEY_BYTES = 32

ZONE = """$ORIGIN {zone}.
$TTL 1
@ SOA ns1 hostmaster 1 3600 600 86400 1
"""
SERVER = """
server:
    rundir: "{home}/run"
    listen: {address}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "{home}/db"
    journal-db-max-size: 16M
    timer-db-max-size: 1M
    kasp-db-max-size: 5M
    catalog-db-max-size: 5M
acl:
  - id: updates
    key: {key}
    action: update
    update-type: TXT
    update-owner: zone
    update-owner-match: sub
  - id: everything
    key: {owner}
    action: update
  - id: copies
    key: {key}
    action: [transfer, notify]
"""


@dataclass(frozen=True, slots=True)
class TsigKey:
    """`secret`: base64, as it stands in configurations."""

    name: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls, name: str) -> TsigKey:
        return cls(name, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())


@dataclass(frozen=True, slots=True)
class Link:
    """What a server's zone says about others: `kind` is `notify` or `master`, `acl` who may do what."""

    kind: str
    ports: Sequence[int]
    acl: str


@dataclass(frozen=True, slots=True)
class Knot:
    """One running server."""

    home: Path
    zone: str
    port: int
    process: Process

    @property
    def address(self) -> str:
        """`address:port`."""
        return f"{LOOPBACK}:{self.port}"

    async def control(self, *command: str) -> str:
        """Say something to the server through its control socket, such as `zone-refresh`. Raises `ServerFailed`."""
        program, socket = debian.require("knot", "knotc"), self.home / "run" / "knot.sock"
        return await run([program, "-s", socket, *command], env=debian.environment("knot"))


@dataclass(frozen=True, slots=True)
class KnotZone:
    """A zone on a primary and its secondaries. `key` may change TXT records below its top, `owner` everything,
    and `stranger` nothing.
    """

    zone: str
    key: TsigKey
    owner: TsigKey
    stranger: TsigKey
    primary: Knot
    secondaries: Sequence[Knot]

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        zone: str,
        *,
        secondaries: int = 0,
        follow: bool = True,
        records: Sequence[str] = (),
    ) -> AsyncIterator[KnotZone]:
        """Run the servers in `state_dir/knot…` until the block ends.

        `zone`: without a final dot; its NS records are ns1, ns2, …, one a server, with loopback's address.
        `follow`: whether the secondaries are told of changes; otherwise they copy at `refresh`.
        `records`: more lines of the zone's file.
        Raises `ServerFailed`, or `PackageMissing` when the program is not installed.
        """
        keys = TsigKey.make("nameplate-update"), TsigKey.make("owner"), TsigKey.make("stranger")
        first, *others = [free_udp_and_tcp_port() for _ in range(1 + secondaries)]
        servers = [f"@ NS ns{number}\nns{number} A {LOOPBACK}" for number in range(1, 2 + secondaries)]
        text = ZONE.format(zone=zone) + "\n".join([*servers, *records, ""])
        async with AsyncExitStack() as stack:

            async def launch(name: str, port: int, link: Link, file: str | None) -> Knot:
                home = state_dir / name
                _lay_out(home, _configuration(home, zone, port, keys, link), file)
                process = await _run(name, home, zone, port)
                stack.push_async_callback(process.stop)
                return Knot(home, zone, port, process)

            told = Link("notify", others if follow else [], "updates, everything, copies")
            primary = await launch("knot", first, told, text)
            copies = [
                await launch(f"knot-copy{number}", port, Link("master", [first], "copies"), None)
                for number, port in enumerate(others, 1)
            ]
            yield cls(zone, *keys, primary, copies)

    @property
    def addresses(self) -> list[str]:
        """`address:port` of every server, the primary first."""
        return [one.address for one in (self.primary, *self.secondaries)]

    async def refresh(self) -> None:
        """Let every secondary look for a newer zone now."""
        for one in self.secondaries:
            await one.control("zone-refresh", self.zone)


def _configuration(home: Path, zone: str, port: int, keys: Sequence[TsigKey], link: Link) -> str:
    key, owner = keys[0].name, keys[1].name
    lines = ["key:"]
    for one in keys:
        lines += [f"  - id: {one.name}", f"    algorithm: {ALGORITHM}", f"    secret: {one.secret}"]
    lines += [SERVER.format(home=home, address=LOOPBACK, port=port, key=key, owner=owner), "remote:"]
    for other in link.ports:
        lines += [f"  - id: other{other}", f"    address: {LOOPBACK}@{other}", f"    key: {key}"]
    lines += ["zone:", f"  - domain: {zone}.", f'    storage: "{home}"', "    file: zone.txt", "    zonefile-sync: -1"]
    lines += [f"    acl: [{link.acl}]"]
    if link.ports:
        lines += [f"    {link.kind}: [{', '.join(f'other{other}' for other in link.ports)}]"]
    return "\n".join([*lines, ""])


def _lay_out(home: Path, configuration: str, zone_file: str | None) -> None:
    home.mkdir(mode=0o700)
    for folder in ("run", "db"):
        (home / folder).mkdir()
    (home / "knot.conf").touch(mode=0o600)
    (home / "knot.conf").write_text(configuration)
    if zone_file is not None:
        (home / "zone.txt").write_text(zone_file)


async def _run(name: str, home: Path, zone: str, port: int) -> Process:
    async def answers() -> bool:
        return await _serves(zone, port)

    return await Process.start(
        name,
        [debian.require("knot", "knotd"), "--config", home / "knot.conf"],
        log_path=home / "knot.log",
        ready=answers,
        env=debian.environment("knot"),
        cwd=home,
    )


async def _serves(zone: str, port: int) -> bool:
    """Over TCP, which refuses at once where nobody listens; a secondary serves nothing before its first transfer."""
    query = dns.message.make_query(f"{zone}.", dns.rdatatype.SOA)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            answer = await dns.asyncquery.tcp(query, LOOPBACK, port=port)
    except (dns.exception.DNSException, OSError, EOFError):
        return False
    return answer.rcode() == Rcode.NOERROR and bool(answer.answer)
