"""Unbound, a recursive resolver (Debian's package `unbound`), on loopback. It knows which server has which zone.

It follows CNAMEs from one zone into another, as a CA's resolver does, and keeps nothing in its cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

from embedded import debian
from embedded.ports import LOOPBACK, free_udp_and_tcp_port
from embedded.process import Process

PROBE_TIMEOUT = 2.0
PROBE = "version.bind."

CONFIGURATION = """
server:
    interface: {address}
    port: {port}
    access-control: {address}/8 allow
    username: ""
    chroot: ""
    directory: "{home}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    num-threads: 1
    so-reuseport: no
    do-ip6: no
    do-not-query-localhost: no
    module-config: "iterator"
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    infra-host-ttl: 0
    qname-minimisation: no
    local-zone: "test." nodefault
remote-control:
    control-enable: no
"""
ZONE = """stub-zone:
    name: "{zone}"
    stub-prime: no
    stub-no-cache: yes
{servers}
"""


@dataclass(frozen=True, slots=True)
class Unbound:
    """A running resolver."""

    port: int
    process: Process

    @classmethod
    @asynccontextmanager
    async def start(
        cls, state_dir: Path, zones: Mapping[str, Sequence[str]], name: str = "unbound"
    ) -> AsyncIterator[Unbound]:
        """Run it in `state_dir/{name}` until the block ends. `zones`: each with the `address:port` of its servers.

        Raises `ServerFailed`, or `PackageMissing` when the program is not installed.
        """
        home = state_dir / name
        home.mkdir(mode=0o700)
        port = free_udp_and_tcp_port()
        stubs = [ZONE.format(zone=zone, servers=_servers(servers)) for zone, servers in zones.items()]
        path = home / "unbound.conf"
        path.write_text(CONFIGURATION.format(address=LOOPBACK, port=port, home=home) + "\n".join(stubs))

        async def answers() -> bool:
            return await _answers(port)

        process = await Process.start(
            name,
            [debian.require("unbound", "unbound"), "-d", "-p", "-c", path],
            log_path=home / "unbound.log",
            ready=answers,
            env=debian.environment("unbound"),
            cwd=home,
        )
        try:
            yield cls(port, process)
        finally:
            await process.stop()

    @property
    def address(self) -> str:
        """`address:port`, as resolvers are configured."""
        return f"{LOOPBACK}:{self.port}"


def _servers(addresses: Sequence[str]) -> str:
    return "\n".join(f"    stub-addr: {address.replace(':', '@')}" for address in addresses)


async def _answers(port: int) -> bool:
    """A question that it answers itself; over TCP, which refuses at once where nobody listens."""
    query = dns.message.make_query(PROBE, dns.rdatatype.TXT, dns.rdataclass.CH)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await dns.asyncquery.tcp(query, LOOPBACK, port=port)
    except (dns.exception.DNSException, OSError, EOFError):
        return False
    return True
