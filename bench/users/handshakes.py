"""Certificates by SNI: handshakes with names that Envoy has (warm), must ask for (cold), and that nobody has."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from locust import task
from locust.exception import StopUser

from bench.load.https import any_certificate
from bench.names import hostname, unknown
from bench.users.user import EdgeUser, NotAsExpected

DEADLINE = 30.0


class Handshaker(EdgeUser):
    abstract = True

    def shake(self, name: str) -> None:
        """Raises OSError."""
        address = (self.target.address, self.target.request_port)
        raw = socket.create_connection(address, timeout=DEADLINE)
        with any_certificate().wrap_socket(raw, server_hostname=name):
            pass


class WarmHandshakeUser(Handshaker):
    """One name for each user; its first handshake may be cold."""

    def on_start(self) -> None:
        self.name = self.any_served()
        self.shake(self.name)

    @task
    def warm(self) -> None:
        with self.timed("TLS", "warm handshake"):
            self.shake(self.name)


class ColdHandshakeUser(Handshaker):
    """A name is cold once for each Envoy, so these users end when all served names were asked for."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._numbers: Iterator[int] = _shared(environment, "cold_numbers")

    @task
    def cold(self) -> None:
        # from the other end than warm users and visitors are likely to have come
        number = self.target.served - 1 - next(self._numbers)
        if number < 0:
            raise StopUser
        with self.timed("TLS", "cold handshake"):
            self.shake(hostname(number))


class UnknownNameUser(Handshaker):
    """Names that nobody registered; a refusal is what should come."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._numbers: Iterator[int] = _shared(environment, "unknown_numbers")

    @task
    def refused(self) -> None:
        with self.timed("TLS", "unknown name refused"):
            try:
                self.shake(unknown(next(self._numbers)))
            except ssl.SSLError:
                return
            raise NotAsExpected("a name that nobody registered was served")


def _shared(environment: Any, name: str) -> Iterator[int]:
    """A counter for all users of a run."""
    if not hasattr(environment, name):
        setattr(environment, name, itertools.count())
    numbers: Iterator[int] = getattr(environment, name)
    return numbers
