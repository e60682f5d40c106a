"""Authorities and lists are read once for whoever asks at the same time, and never two at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from scenes import checks
from scenes.client_certificates import Authority
from scenes.edges import edges

from sidecar.directory.entry import FIELDS, Entry
from sidecar.edge.model import ClientAuth, Edge
from sidecar.explain import client_auth
from sidecar.explain.client_auth import ClientAuthSection
from sidecar.explain.sources import Clients

ROOT = Authority.root("Root A", 1)


class Nobody(Clients):
    def holders(self, type_url: str, name: str) -> list[Any]:
        return []


async def test_many_questions_are_read_for_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = checks.entry("shop.mybrand.co")
    fields = {name: getattr(plain, name) for name in FIELDS}
    rows = [Entry(**fields | {"domain_id": f"d0000000-0000-0000-0000-00000000000{n}"}) for n in range(3)]
    auth = ClientAuth(
        rows[0].domain_id, plain.tenant_id, plain.hostname, True, False, ("san",), None, ROOT.pem.encode(), None
    )
    table = edges(Edge(client_auth={row.domain_id: replace(auth, domain_id=row.domain_id) for row in rows}))
    section = ClientAuthSection(table, Nobody())
    read: list[str] = []
    reading = threading.Lock()

    def trust(wanted: ClientAuth) -> dict[str, Any]:
        assert reading.acquire(blocking=False), "two at a time"
        time.sleep(0.005)
        read.append(wanted.domain_id)
        reading.release()
        return {}

    monkeypatch.setattr(client_auth, "_trust", trust)
    await asyncio.gather(*(section.prepare(row) for row in rows * 4))
    assert sorted(read) == sorted(row.domain_id for row in rows)
