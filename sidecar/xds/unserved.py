"""What a delta stream says of what is never served: types that are not ours, and names that we do not know."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.send import Send
from sidecar.xds.subscription import WILDCARD


class Unserved:
    """XDS#knowing-when-a-requested-resource-does-not-exist: who asks for one by name is told that there is none.

    Who asks for all is told nothing: what Envoy has of such a type it has from elsewhere. `numbers`: the nonces of the
    stream.
    """

    def __init__(self, numbers: Iterator[str], send: Send) -> None:
        self._numbers = numbers
        self._send = send
        self._asked: dict[str, dict[str, None]] = {}  # by type

    def receive(self, request: wire.DeltaDiscoveryRequest, served: Collection[str] = ()) -> None:
        """`served`: names that others answer for."""
        asked = [name for name in request.resource_names_subscribe if name != WILDCARD and name not in served]
        if asked:
            self._asked.setdefault(request.type_url, {}).update(dict.fromkeys(asked))

    async def write(self) -> None:
        """Raises what `send` raises."""
        if self._asked:
            asked, self._asked = self._asked, {}
            await self._send(*(self._removed(type_url, names) for type_url, names in asked.items()))

    def _removed(self, type_url: str, names: Collection[str]) -> bytes:
        return wire.DeltaDiscoveryResponse(
            type_url=type_url, nonce=next(self._numbers), removed_resources=names
        ).SerializeToString()
