"""Visitors: HTTPS through Envoy in either lane, on a connection that stays open for a number of requests."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from typing import Any

from locust import task

from bench.load.https import any_certificate
from bench.users.user import EdgeUser, NotAsExpected

DEADLINE = 30.0
OK = 200


class Connection(http.client.HTTPSConnection):
    """To an address that is not the host's."""

    def __init__(self, address: tuple[str, int], host: str) -> None:
        super().__init__(host, timeout=DEADLINE, context=any_certificate())
        self._address = address

    def connect(self) -> None:
        raw = socket.create_connection(self._address, timeout=DEADLINE)
        self.sock = any_certificate().wrap_socket(raw, server_hostname=self.host)


class Visitor(EdgeUser):
    """`lane`: which of the target's ports, as Locust's table names it."""

    abstract = True
    lane = ""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.requests_a_visit: int = environment.parsed_options.requests_a_visit

    @task
    def visit(self) -> None:
        connection = Connection((self.target.address, self.target.port_of(self.lane)), self.any_served())
        with closing(connection):
            with self.timed("TLS", f"{self.lane} lane: handshake"):
                connection.connect()
            for _ in range(self.requests_a_visit if connection.sock else 0):
                with self.timed("HTTPS", f"{self.lane} lane: request"):
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != OK:
                        raise NotAsExpected(f"status {answer.status}")


class RequestLaneUser(Visitor):
    lane = "request"


class ConnectionLaneUser(Visitor):
    lane = "connection"
