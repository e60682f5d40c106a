"""Certificates and keys as a tenant uploads them at the API, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
from scenes.hierarchy import Hierarchy, issue

from api.catalogue import CATALOGUE
from api.operations.uploads import OPERATIONS
from core.vault import upload_path
from embedded.vault_mount import VaultMount

HOST = "shop.example.com"
CA = Hierarchy.of(HOST)
PATH = "/domains/{}/certificate"
STRANGER = Hierarchy.of(HOST)

Serve = Callable[..., Any]


def body(pair: Hierarchy = CA) -> dict[str, str]:
    return {"certificate": pair.chain, "privateKey": pair.leaf.key_pem}


def leaf(*names: str, **how: Any) -> dict[str, str]:
    """A body with another leaf below the same CA."""
    made = issue("leaf", CA.lower, names=names or (HOST,), **how)
    return {"certificate": made.pem + CA.lower.pem, "privateKey": made.key_pem}


async def stored(mount: VaultMount, path: str) -> dict[str, Any]:
    domain = UUID(path.split("/")[2])
    answer = await mount.openbao.request("GET", f"{mount.path}/data/{upload_path(domain)}")
    return dict(answer["data"])


def problem(response: httpx.Response, code: str) -> dict[str, Any]:
    document = response.json()
    assert (document["code"], response.status_code) == (code, CATALOGUE[code].status), document
    documented = {one for operation in OPERATIONS for one in operation.problems}
    assert code in documented
    return dict(document)
