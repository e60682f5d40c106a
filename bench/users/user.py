"""What our users have in common: the target, a name drawn from it, and a timer that tells Locust."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from locust import User

from bench.names import hostname
from bench.users.target import Target


class NotAsExpected(Exception):
    """An answer that was given, and is wrong."""


class EdgeUser(User):
    """`--think`: seconds between two tasks of a user."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.target: Target = environment.target
        self.draw = random.Random()

    def wait_time(self) -> float:
        think: float = self.environment.parsed_options.think
        return think

    def any_served(self) -> str:
        return hostname(self.draw.randrange(self.target.served))

    @contextmanager
    def timed(self, kind: str, name: str) -> Iterator[None]:
        """An exception inside is a failure, and goes no further unless Locust wants to stop."""
        failure: Exception | None = None
        started = time.perf_counter()
        try:
            yield
        except (OSError, NotAsExpected) as error:  # ssl.SSLError is an OSError
            failure = error
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(time.perf_counter() - started) * 1e3,
            response_length=0,
            exception=failure,
            context={},
        )
