"""Names that nobody registered cost the databases nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import asyncpg
from scenes.play import Play

from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK

NAMES = 1000
AT_ONCE = 20


async def handshake(name: str, port: int) -> bool:
    """True: refused by the server. The certificate does not matter, so none is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=name)
    except (ssl.SSLError, ConnectionResetError):
        return True
    writer.transport.abort()
    return False


async def flood(names: list[str], port: int) -> int:
    """How many of the handshakes were refused."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> bool:
        async with turns:
            return await handshake(name, port)

    return sum(await asyncio.gather(*(one(name) for name in names)))


async def counters(play: Play) -> tuple[int, int]:
    """(statements that the sidecar's role ran, reads of the Vault mount), since the servers started.

    The sidecar goes on reading its feed on a timer: statements on the changes and the probe are not counted.
    """
    connection = await asyncpg.connect(play.stack.postgres.dsn())  # where the extension is
    try:
        statements = await connection.fetchval(
            """SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
               WHERE r.rolname = 'nameplate_sidecar' AND (query ILIKE '%domains_v1%' OR query ILIKE '%tenants_v1%'
                     OR query ILIKE '%challenges_v1%')"""
        )
    finally:
        await connection.close()
    return statements, await play.stack.openbao.read_count("secret")


async def settled(play: Play) -> None:
    """Wait until the sidecar has read every change so far, and what it reads on its own account stands still."""
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        xid = int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
    finally:
        await connection.close()

    async def has_read() -> bool:
        async with plain_http() as http:
            return bool((await http.get(f"{play.stack.admin_url}/readyz")).json()["position"] > xid)

    await play.eventually(has_read, timeout=15)


async def test_a_thousand_unknown_names_are_refused_and_no_database_or_vault_is_asked(
    play: Play, record_property
) -> None:
    await play.active(play.customer(), f"shop.{play.zone}")
    await settled(play)
    # Once a minute the sidecar looks at the platform's own certificate in Vault: perhaps during one flood, not both.
    for first in (0, NAMES):
        before = await counters(play)
        assert before[0] > 0, "the counter does not count"
        assert before[1] > 0, "the counter does not count"
        refused = await flood([f"n{first + n}.{play.zone}" for n in range(NAMES)], play.stack.https_port)
        after = await counters(play)
        said = f"{refused} of {NAMES} refused; (statements, Vault reads) {before} before, {after} after"
        record_property("flood", said)
        print(f"\nflood: {said}")
        assert refused == NAMES
        if after == before:
            break
    assert after == before


async def test_an_ip_address_as_sni_is_refused_without_a_question(play: Play) -> None:
    await settled(play)
    before = await counters(play)
    assert await asyncio.to_thread(ip_sni_is_refused, play.stack.https_port)
    assert await counters(play) == before


def ip_sni_is_refused(port: int) -> bool:
    """Python's TLS never sends an address as SNI, so the extension is written by hand into a ClientHello."""
    hello = client_hello(b"203.0.113.7")
    with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
        connection.sendall(hello)
        answer = connection.recv(7)
    return answer[:1] == b"\x15" and answer[5:7] == b"\x02\x28"  # a fatal alert, handshake_failure (RFC 8446, 6)


def client_hello(name: bytes) -> bytes:
    """A ClientHello of the TLS library, with its server name replaced by one of the same length."""
    stand_in = "x" * (len(name) - 5) + ".test"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=stand_in)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    assert hello.count(stand_in.encode()) == 1
    return hello.replace(stand_in.encode(), name)
