"""Client certificates that are revoked: on new connections, on open ones, and with the session of an earlier one."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from scenes.client_certificates import Leaf
from scenes.gate import MIDDLE, REFUSED, ROOT, Gate

from embedded.ports import LOOPBACK


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_new_list_alone_shuts_out_who_is_on_it_and_nobody_else(gate, asked, becomes, eventually, version):
    """The authorities stay: on new connections, on open ones, and with the session of an earlier one."""
    host, domain = await gate.domain()
    leaf, fine = MIDDLE.issue("CN=a"), MIDDLE.issue("CN=b")
    await asked(host, domain, ROOT, MIDDLE, crls=[ROOT.crl(), MIDDLE.crl()])
    await becomes(host, leaf, 200)
    visitor = Visitor(gate, host, leaf, version)
    assert await visitor.comes() == 200
    async with gate.client(host, leaf) as client, gate.client(host, fine) as other:
        assert (await client.status(host), await other.status(host)) == (200, 200)
        await gate.ask_for(domain, ROOT, MIDDLE, crls=[ROOT.crl(), MIDDLE.crl(leaf.serial)])
        await eventually(lambda: client.hears(host, 403))
        await becomes(host, leaf, REFUSED)
        assert await visitor.comes() == REFUSED
        assert await other.status(host) == 200
        assert len(other.connections) == 1
    assert await gate.status(host, fine) == 200


class Visitor:
    """A client that offers the session of its last visit, over a connection of its own each time."""

    def __init__(self, gate: Gate, host: str, leaf: Leaf, version: ssl.TLSVersion) -> None:
        self._context = ssl.create_default_context(cadata=gate.edge.pki.root_pem)
        self._context.minimum_version = self._context.maximum_version = version
        leaf.show_by(self._context)
        self._address = (LOOPBACK, gate.edge.https_port)
        self._host = host
        self._session: ssl.SSLSession | None = None

    async def comes(self) -> int:
        return await asyncio.to_thread(self._visit)

    def _visit(self) -> int:
        plain = socket.create_connection(self._address, timeout=10)
        try:
            with plain, self._context.wrap_socket(plain, server_hostname=self._host, session=self._session) as tls:
                tls.sendall(f"GET / HTTP/1.1\r\nhost: {self._host}\r\nconnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: tls.recv(65536), b""))
                self._session = tls.session
        except (ssl.SSLError, ConnectionError):
            return REFUSED
        return int(answer.split(b" ", 2)[1]) if answer else REFUSED


async def test_a_revoked_intermediate_authority_lets_nobody_in(gate, asked, becomes):
    """Envoy looks at the lists of clients only; the check at all."""
    host, domain = await gate.domain()
    lower = MIDDLE.below("Lower A", 3)
    leaf = lower.issue()
    authorities = (ROOT, MIDDLE, lower)
    await asked(host, domain, *authorities, crls=[one.crl() for one in authorities])
    await becomes(host, leaf, 200)
    revoked = lower.certificate.serial_number
    await gate.ask_for(domain, *authorities, crls=[ROOT.crl(), MIDDLE.crl(revoked), lower.crl()])
    await becomes(host, leaf, 403)
    assert await gate.status(host, MIDDLE.issue()) == 200
