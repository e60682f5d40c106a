"""HTTP to the servers of this machine, which speak no TLS."""

from __future__ import annotations

from typing import Any

import httpx


def plain_http(**options: Any) -> httpx.AsyncClient:
    """A client, with httpx' own options. For one loop and, mostly, one question: so it must cost little to make.

    httpx makes the context for TLS with each client, which takes 20 ms: a probe would take half a core from the server
    that it waits for.
    """
    return httpx.AsyncClient(trust_env=False, verify=False, **options)
