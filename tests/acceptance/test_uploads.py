"""A tenant brings its own certificate, on the whole stack: what docs/uploads.md promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from scenes.handshakes import fingerprint
from scenes.hierarchy import Issued
from scenes.load import load
from scenes.play import Play
from scenes.uploads import ROOT_PEM, chain, leaf

from demo.customer import Customer

Eventually = Callable[..., Awaitable[Any]]


async def call(owner: Customer, method: str, path: str, **arguments: Any) -> httpx.Response:
    return await owner.http.request(method, path, headers={"Authorization": f"Bearer {owner.token}"}, **arguments)


async def put(owner: Customer, domain_id: str, pair: Issued) -> httpx.Response:
    body = {"certificate": chain(pair), "privateKey": pair.key_pem}
    return await call(owner, "PUT", f"domains/{domain_id}/certificate", json=body)


async def until(play: Play, owner: Customer, domain_id: str, **expected: str) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        body = await owner.detail(domain_id)
        return body if expected.items() <= body.items() else None

    found: dict[str, Any] = await play.eventually(there, timeout=60)
    return found


async def serves(play: Play, host: str, expected: str) -> None:
    async def same() -> bool:
        return await fingerprint(play.stack.https_port, host) == expected

    await play.eventually(same, timeout=30)


async def test_it_is_served_once_the_name_is_proven_and_needs_no_ca_which_then_is_the_fallback(
    play: Play, eventually: Eventually
) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    body = await owner.register(host)
    first = leaf(host)
    assert (await put(owner, body["id"], first)).status_code == 201
    assert await play.refused(host), "anybody could upload a certificate for anybody's name"

    # Proven, but not led here yet: no CA would issue for it.
    txt = body["instructions"]["verification"]
    await play.stack.dns.replace(txt["name"], "TXT", txt["value"])
    await play.stack.dns.replace(host, "A", "192.0.2.7")
    await play.verify_now(owner, body["id"])
    active = await until(play, owner, body["id"], status="active")
    assert (active["ready"], active["sslStatus"], active["certificate"]["source"]) == (True, "none", "uploaded")
    await serves(play, host, first.certificate.fingerprint(hashes.SHA256()).hex())

    await play.stack.dns.remove(host)
    await play.publish(body)
    assert (await call(owner, "POST", f"domains/{body['id']}/renew")).status_code == 202, "the managed one, now"
    trust = f"{play.stack.trust}\n{ROOT_PEM}"
    async with load(play.stack.https_port, trust, [host], eventually, staying=2, coming=1) as visitors:
        second = leaf(host)
        assert (await put(owner, body["id"], second)).status_code == 200
        await serves(play, host, second.certificate.fingerprint(hashes.SHA256()).hex())
        managed = await until(play, owner, body["id"], sslStatus="issued")
        assert managed["certificate"]["source"] == "uploaded"
        shown = (await call(owner, "GET", f"domains/{body['id']}/certificate")).json()
        assert shown["inUse"] == "uploaded"
        assert (await call(owner, "DELETE", f"domains/{body['id']}/certificate")).status_code == 204
        await serves(play, host, shown["managed"]["fingerprint"])
        await visitors.served(20)
        assert visitors.failures() == {}
    audit = (await call(owner, "GET", f"domains/{body['id']}/audit")).json()
    actions = [line["action"] for line in audit["data"]]
    assert [action for action in actions if action.startswith(("upload", "activate"))] == [
        "upload_withdraw",
        "upload_replace",
        "activate",
        "upload",
    ]
