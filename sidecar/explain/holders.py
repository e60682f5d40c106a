"""Which Envoys have which version of a resource, and what they have rejected."""

from __future__ import annotations

from typing import Any

from sidecar.explain.sources import Clients, Holder


def holders_of(clients: Clients, type_url: str, name: str) -> list[dict[str, Any]]:
    return [_holder(one) for one in clients.holders(type_url, name)]


def _holder(holder: Holder) -> dict[str, Any]:
    rejected = None if holder.rejected is None else {"version": holder.rejected, "reason": holder.reason or ""}
    return {
        "node": holder.node,
        "stream": holder.stream,
        "version": holder.version,
        "told": holder.told,
        "rejected": rejected,
    }
