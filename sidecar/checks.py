"""What answers Envoy's checks, put together: the handlers over the directory, their health, and the server."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.authz.authorization import SERVICE as AUTHORIZATION
from sidecar.authz.authorization import Authorization
from sidecar.authz.check import Checker
from sidecar.authz.policy import Names, Policy
from sidecar.directory.service import DirectoryService
from sidecar.edge.routing import Routing
from sidecar.extproc.processor import SERVICE as EXTERNAL_PROCESSOR
from sidecar.extproc.processor import Processor
from sidecar.grpcfast import OneAnswer, Reply, Server, Unary, reply
from sidecar.health import Health
from sidecar.reflection import Reflection


class Checks:
    """One directory behind two protocols of Envoy, and so the same answers."""

    def __init__(self, directory: DirectoryService) -> None:
        names, tokens = directory.directory, directory.challenges
        self.routing = edges = Routing(directory.edge)
        self._tokens = tokens
        self._checker: Checker[Reply] = Checker(names, tokens, edges, reply)
        self._processor: Processor[Reply] = Processor(names, tokens, edges, reply)
        self.health = Health(AUTHORIZATION, EXTERNAL_PROCESSOR)
        methods = {
            f"/{AUTHORIZATION}/Check": Unary(Authorization(self._checker, directory.source, tokens).check),
            f"/{EXTERNAL_PROCESSOR}/Process": OneAnswer(Authorization(self._processor, directory.source, tokens).check),
            **self.health.methods(),
        }
        self._reflection = Reflection(methods)
        self.server = Server({**methods, **self._reflection.methods()})

    def stats(self) -> Mapping[str, int]:
        """Checks answered so far, by outcome."""
        checks, processed = self._checker.stats(), self._processor.stats()
        return {outcome: count + processed.get(outcome, 0) for outcome, count in checks.items()}

    def policy(self, names: Names) -> Policy:
        """What decides the checks, over names that are looked up for somebody else."""
        return Policy(names, self._tokens, self.routing)

    async def drain(self, seconds: float) -> None:
        """GOAWAY; what is under way is answered."""
        self.routing.close()
        self.server.drain()
        self._reflection.close()
        await self.server.wait_closed(seconds)
