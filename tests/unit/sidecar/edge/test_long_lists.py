"""Lists of revoked certificates are looked into beside the event loop, each once, whatever is in them."""

from __future__ import annotations

import threading
from base64 import encodebytes
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from scenes.client_certificates import Authority, key, name, pem
from scenes.client_checks import HOST, IDS, ROOT, Scene, auth

import core.client_auth
from sidecar.edge.model import Edge
from sidecar.edge.reader import build_slowly
from sidecar.edge.rows import Builder, Row, rows_of

DOMAIN = IDS[HOST]
V1 = Authority.root("CN=v", 1)


def element(tag: int, body: bytes) -> bytes:
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(body) < 128 else bytes([0x80 | len(size)]) + size) + body


def of_version_1(entries: int) -> str:
    """A list without version and extensions, as the library does not make it."""
    began, due = element(0x17, b"250101000000Z"), element(0x17, b"491231235959Z")
    revoked = b"".join(
        element(0x30, element(2, (0x40000000 + number).to_bytes(4, "big")) + began) for number in range(entries)
    )
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = element(0x30, algorithm + name("CN=v").public_bytes() + began + due + element(0x30, revoked))
    signature = key(1).sign(body, ec.ECDSA(hashes.SHA256()))
    made = element(0x30, body + algorithm + element(3, b"\0" + signature))
    return f"-----BEGIN X509 CRL-----\n{encodebytes(made).decode()}-----END X509 CRL-----\n"


async def slices(rows: Iterable[tuple[str, Row]]) -> AsyncIterator[tuple[str, Iterable[Row]]]:
    for table, row in rows:
        yield table, [row]


@pytest.fixture
def read_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which lists were read, once for each text."""
    threads: list[int] = []
    read = core.client_auth.read_crls

    def reading(text: str) -> Any:
        threads.append(threading.get_ident())
        return read(text)

    monkeypatch.setattr(core.client_auth, "read_crls", reading)
    return threads


async def test_what_is_new_is_read_beside_the_loop_and_what_is_known_not_again(read_in: list[int]) -> None:
    rows = list(rows_of(Edge(client_auth={DOMAIN: auth(crl_pem=pem(ROOT.crl()).encode())})))
    first = await build_slowly(slices(rows), None)
    assert len(read_in) == 1
    assert read_in != [threading.get_ident()]
    assert await build_slowly(slices(rows), first) == first
    assert len(read_in) == 1
    changed = list(rows_of(Edge(client_auth={DOMAIN: auth(crl_pem=pem(ROOT.crl(7)).encode())})))
    second = await build_slowly(slices(changed), first)
    assert second.client_auth[DOMAIN] != first.client_auth[DOMAIN]
    assert len(read_in) == 2
    assert threading.get_ident() not in read_in


async def test_a_list_of_version_1_harms_nobody(read_in: list[int]) -> None:
    """Control takes none (any more): the domain is shut, or the list counts."""
    revoked = V1.issue()
    made = of_version_1(2_000)
    assert x509.load_pem_x509_crl(made.encode()).is_signature_valid(key(1).public_key())
    asked = auth(ca_pem=V1.pem.encode(), crl_pem=made.encode())
    plain = auth("*.wild.example")
    rows = list(rows_of(Edge(client_auth={one.domain_id: one for one in (asked, plain)})))
    edge = await build_slowly(slices(rows), None)
    assert threading.get_ident() not in read_in
    assert edge.is_shut(DOMAIN) != (DOMAIN in edge.client_auth)
    assert plain.domain_id in edge.client_auth
    status, _ = Scene(asked).ask(revoked)
    assert status in (200, 503)


@pytest.mark.parametrize("row", [[], [None], [[]] * 9, [{}] * 9, ["x"] * 9, [DOMAIN, *[None] * 8]])
def test_nothing_in_a_row_keeps_it_from_being_asked_about(row: list[Any]) -> None:
    before = Edge(client_auth={DOMAIN: auth()})
    assert Builder(before).takes_long("client_auth", row) in (True, False)
    assert not Builder(before).takes_long("consumers", row)
