"""Tokens of an issuer, and the gate that they are shown to."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from api.auth import Authenticator
from api.problems import Problem

ISSUER = "https://issuer.example"
AUDIENCE = "nameplate"
TENANT = "6f1c2f1e-4b1b-4a63-9d0c-0c1d7a1e2f30"
NOW = 1_800_000_000
LEEWAY = 30


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def authenticator(key_source: Any, **settings: Any) -> Authenticator:
    return Authenticator(key_source, issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY, clock=lambda: NOW, **settings)


async def refusal(gate: Authenticator, authorization: str | None) -> Problem:
    with pytest.raises(Problem) as caught:
        await gate.authenticate(authorization)
    return caught.value


async def code_of(gate: Authenticator, token: str) -> str:
    return (await refusal(gate, f"Bearer {token}")).code
