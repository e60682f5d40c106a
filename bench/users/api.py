"""Tenants at the REST API: they register a domain, look at it, list theirs, and delete it again."""

from __future__ import annotations

import random
from typing import Any
from uuid import uuid4

from locust import HttpUser, task

from bench.users.target import Target


class ApiUser(HttpUser):
    """One tenant of the target's for each user."""

    host = "http://nameplate"  # Locust wants one; the target's is used

    def __init__(self, environment: Any) -> None:
        self.target: Target = environment.target
        self.host = self.target.api_url
        super().__init__(environment)
        token = random.choice(self.target.tokens)
        self.client.headers["authorization"] = f"Bearer {token}"

    def wait_time(self) -> float:
        think: float = self.environment.parsed_options.think
        return think

    @task(4)
    def list_domains(self) -> None:
        self.client.get("/domains", name="API: list domains")

    @task(1)
    def register_and_delete(self) -> None:
        name = f"{uuid4().hex}.registered.test"
        made = self.client.post("/domains", json={"hostname": name}, name="API: register")
        if not made.ok:
            return
        domain = made.json()["id"]
        self.client.get(f"/domains/{domain}", name="API: read one")
        self.client.delete(f"/domains/{domain}", name="API: delete")
