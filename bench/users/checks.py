"""Checks over gRPC on the check socket, as Envoy would ask: one under way for each user."""

from __future__ import annotations

from typing import Any

from locust import task

from bench.load.ask import Asker
from bench.users.user import EdgeUser, NotAsExpected


class CheckUser(EdgeUser):
    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._asker: Asker | None = None

    @task
    def check(self) -> None:
        with self.timed("gRPC", "check"):
            asker, self._asker = self._asker or Asker(self.target.check_socket), None
            if asker.tenant(self.draw.randrange(self.target.names)) is None:
                raise NotAsExpected("a live name was refused")
            self._asker = asker  # kept while it works

    def on_stop(self) -> None:
        if self._asker is not None:
            self._asker.close()
