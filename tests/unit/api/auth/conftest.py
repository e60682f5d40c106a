"""An issuer of tokens: real keys, and a real HTTP server for its key set."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from scenes.tokens import AUDIENCE, ISSUER, NOW, TENANT, authenticator, b64
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import Authenticator
from api.jwks import KeyFile


@dataclass
class Signer:
    """A key pair of the issuer."""

    kid: str | None
    algorithm: str
    private: Any

    def jwk(self, **members: Any) -> dict[str, Any]:
        kinds: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
        public: dict[str, Any] = kinds[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        return public | ({} if self.kid is None else {"kid": self.kid}) | members

    def token(self, changes: Mapping[str, Any] | None = None, **header: Any) -> str:
        """A good token, except for `changes` to the claims (None: left out) and the header (kid=None: left out)."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "user-1",
            "exp": NOW + 600,
            "tenant_id": TENANT,
        } | dict(changes or {})
        members = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid} | header
        return self.signed(
            {name: value for name, value in members.items() if value is not None},
            json.dumps({name: value for name, value in claims.items() if value is not None}).encode(),
        )

    def signed(self, header: Mapping[str, Any], payload: bytes) -> str:
        """The compact form, whatever the header says."""
        signing_input = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
        algorithm = jwt.PyJWS().get_algorithm_by_name(self.algorithm)
        return f"{signing_input}.{b64(algorithm.sign(signing_input.encode(), self.private))}"


@pytest.fixture(scope="session")
def make_signer() -> Callable[..., Signer]:
    def make(algorithm: str, kid: str | None) -> Signer:
        private: Any
        match algorithm:
            case "RS256":
                private = rsa.generate_private_key(65537, 2048)
            case "ES256":
                private = ec.generate_private_key(ec.SECP256R1())
            case _:
                private = ed25519.Ed25519PrivateKey.generate()
        return Signer(kid, algorithm, private)

    return make


@pytest.fixture(scope="session")
def signers(make_signer: Callable[..., Signer]) -> dict[str, Signer]:
    return {algorithm: make_signer(algorithm, f"kid-{algorithm}") for algorithm in ("RS256", "ES256", "EdDSA")}


@pytest.fixture
def write_keys(tmp_path: Path) -> Callable[..., Path]:
    """`write_keys(signer, …)`: the path of their key set. It is replaced as a whole, as an operator would."""

    def write(*signers: Signer) -> Path:
        new, path = tmp_path / "new.json", tmp_path / "jwks.json"
        new.write_bytes(key_set(*signers))
        return new.rename(path)

    return write


def key_set(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk() for signer in signers]}).encode()


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class IssuerServer:
    """Serves the key set on loopback, counts the requests, and can hold its answers back or be away."""

    document: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: uvicorn.Server | None = None
    _serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks.json"

    def publish(self, *signers: Signer) -> None:
        self.document = key_set(*signers)

    async def answer(self, _request: Request) -> Response:
        self.requests += 1
        await self.open.wait()
        return Response(self.document, self.status, self.headers, "application/json")

    async def start(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen()
        self.port = listening.getsockname()[1]
        app = Starlette(routes=[Route("/jwks.json", self.answer)])
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        self.open.set()

    async def stop(self) -> None:
        if self._server is not None and self._serving is not None:
            self.open.set()
            self._server.should_exit = True
            await self._serving
        self._server = self._serving = None


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    server = IssuerServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def gate(write_keys: Any, signers: Any) -> Authenticator:
    """Knows a key of each kind."""
    return authenticator(KeyFile(write_keys(*signers.values())))
