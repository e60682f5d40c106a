"""A front before a real Pebble that adds what no packaged CA offers: renewal information (RFC 9773) and profiles.

Everything goes through it: Pebble builds its URLs, and checks those that are signed, by the Host header, which the
front leaves as it is. So accounts, nonces, validations and certificates are Pebble's. The front's own are

- `renewalInfo` in the directory, and its answers: about when two thirds of a certificate's life are over, or what a
  test has put into `windows`; 404 for a certificate that did not come through here;
- `replaces` in new orders: Pebble 2.4.0 leaves it out of account, as all fields that it does not know. The front
  refuses what it never saw and what a finished order has replaced, and says in the order that it was taken;
- `profiles` and `caaIdentities`, if it is given some; an unknown profile is refused. Pebble issues the same for all;
- `refuse`: a problem instead of Pebble's next answers, because Pebble keeps no limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from cryptography import x509
from josepy.b64 import b64decode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.certificate import ari_id
from embedded.localhost_tls import LocalhostTls
from embedded.pebble import Pebble
from embedded.ports import LOOPBACK

RENEWAL_INFO = "/renewal-info"
URN = "urn:ietf:params:acme:error:"
FORWARDED = ("host", "content-type", "accept")
PASSED_BACK = ("content-type", "location", "link", "replay-nonce", "retry-after")
TIMEOUT = 30.0


class Server(uvicorn.Server):
    """uvicorn without signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class AriFront:
    """Stands for its Pebble wherever one is asked for. `poll`: the Retry-After of renewal information, in seconds.

    `windows`: by ari_id, instead of the usual one. `replaced`: by ari_id, the URL of the finished order.
    """

    pebble: Pebble
    port: int
    ca_bundle: Path
    profiles: Mapping[str, str]
    caa_identities: tuple[str, ...]
    poll: int = 21600
    windows: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    _known: dict[str, x509.Certificate] = field(default_factory=dict)
    _replacing: dict[str, str] = field(default_factory=dict)  # by the order's path
    _refusals: dict[str, deque[Response]] = field(default_factory=dict)
    _paths: dict[str, str] = field(default_factory=dict)  # by the resource's name in the directory
    _client: httpx.AsyncClient | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        pebble: Pebble,
        *,
        profiles: Mapping[str, str] | None = None,
        caa_identities: tuple[str, ...] = (),
        name: str = "ari",
    ) -> AsyncIterator[AriFront]:
        """Serve https on loopback, with files in `state_dir/{name}`, until the block ends."""
        home = state_dir / name
        home.mkdir(mode=0o700)
        tls = LocalhostTls.create(home)
        bundle = home / "bundle.pem"
        bundle.write_bytes(tls.authority.read_bytes() + pebble.ca_bundle.read_bytes())
        bound = socket.create_server((LOOPBACK, 0))
        front = cls(pebble, bound.getsockname()[1], bundle, profiles or {}, caa_identities)
        routes = [
            Route(f"{RENEWAL_INFO}/{{identity}}", front._renewal_info),
            Route("/{path:path}", front._pass, methods=["GET", "HEAD", "POST"]),
        ]
        trust = ssl.create_default_context(cafile=str(pebble.ca_bundle))
        server = Server(
            uvicorn.Config(
                Starlette(routes=routes),
                ssl_certfile=str(tls.certificate),
                ssl_keyfile=str(tls.key),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        server.config.load()
        tls.key.unlink()  # it has been read; no key stays on disk
        async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=TIMEOUT) as client:
            front._client = client
            directory = (await client.get(pebble.directory_url)).json()
            front._paths = {key: urlsplit(url).path for key, url in directory.items() if isinstance(url, str)}
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            try:
                yield front
            finally:
                for connection in list(server.server_state.connections):
                    connection.transport.abort()  # a client that keeps one open would not say goodbye to TLS
                server.should_exit = True
                await serving

    @property
    def directory_url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}/dir"

    @property
    def http_port(self) -> int:
        return self.pebble.http_port

    @property
    def management_port(self) -> int:
        return self.pebble.management_port

    @property
    def root_pem(self) -> str:
        return self.pebble.root_pem

    def refuse(
        self,
        resource: str,
        name: str,
        status: int = 400,
        *,
        detail: str = "as asked for",
        retry_after: str | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next requests of a resource, as `newOrder`, with a problem; an empty name: with no document."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        answer = _problem(name, status, detail, headers) if name else Response(status_code=status, headers=headers)
        self._refusals.setdefault(self._paths[resource], deque()).extend([answer] * times)

    def forget(self, url: str) -> None:
        """Have no resource there any more."""
        self._refusals[urlsplit(url).path] = deque([_problem("malformed", 404, "no such order")] * 1000)

    async def _renewal_info(self, request: Request) -> Response:
        identity = request.path_params["identity"]
        leaf = self._known.get(identity)
        window = self.windows.get(identity) or (None if leaf is None else _usual(leaf))
        if window is None:
            return _problem("malformed", 404, "no such certificate")
        start, end = (one.astimezone(UTC).isoformat().replace("+00:00", "Z") for one in window)
        body = {"suggestedWindow": {"start": start, "end": end}}
        return JSONResponse(body, headers={"Retry-After": str(self.poll)})

    async def _pass(self, request: Request) -> Response:
        path, content = request.url.path, await request.body()
        if waiting := self._refusals.get(path):
            return waiting.popleft()
        wanted: dict[str, Any] = {}
        if path == self._paths["newOrder"] and request.method == "POST":
            wanted = _payload(content)
            if refusal := self._refusal(wanted):
                return refusal
        assert self._client is not None
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        url = f"https://{LOOPBACK}:{self.pebble.port}{path}"
        query = dict(request.query_params)
        answer = await self._client.request(request.method, url, params=query, content=content, headers=headers)
        body = self._changed(path, wanted, answer) if answer.is_success and request.method != "HEAD" else answer.content
        response = Response(body, answer.status_code)
        for name, value in answer.headers.multi_items():
            if name in PASSED_BACK:
                response.headers.append(name, value)
        return response

    def _refusal(self, wanted: Mapping[str, Any]) -> Response | None:
        profile, replaces = wanted.get("profile"), wanted.get("replaces")
        if profile is not None and profile not in self.profiles:
            return _problem("invalidProfile", 400, "no such profile")
        if replaces is not None and replaces not in self._known:
            return _problem("malformed", 400, "replaces a certificate that is not known")
        if replaces in self.replaced:
            return _problem("alreadyReplaced", 409, "replaces a certificate that is replaced already")
        return None

    def _changed(self, path: str, wanted: Mapping[str, Any], answer: httpx.Response) -> bytes:
        """The body as the client gets it; and what it says is remembered."""
        if answer.headers.get("content-type", "").startswith("application/pem-certificate-chain"):
            leaf = x509.load_pem_x509_certificates(answer.content)[0]
            self._known[ari_id(leaf) or ""] = leaf
            return answer.content
        try:
            document = answer.json()
        except ValueError:
            return answer.content
        if path == "/dir":
            document["renewalInfo"] = f"https://{LOOPBACK}:{self.port}{RENEWAL_INFO}"
            document["meta"] |= {"profiles": dict(self.profiles), "caaIdentities": list(self.caa_identities)}
        elif wanted.get("replaces") is not None:
            self._replacing[urlsplit(answer.headers["location"]).path] = wanted["replaces"]
            document["replaces"] = wanted["replaces"]
        elif path in self._replacing:
            document["replaces"] = self._replacing[path]
            if document.get("status") == "valid":
                self.replaced[self._replacing[path]] = path
        else:
            return answer.content
        return json.dumps(document).encode()


def _usual(leaf: x509.Certificate) -> tuple[datetime, datetime]:
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return leaf.not_valid_after_utc - lifetime * 0.34, leaf.not_valid_after_utc - lifetime * 0.32


def _payload(content: bytes) -> dict[str, Any]:
    """What a JWS carries, its signature left to Pebble; empty for what is none."""
    try:
        found = json.loads(b64decode(json.loads(content)["payload"]))
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _problem(name: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    document = {"type": URN + name, "detail": detail, "status": status}
    return Response(json.dumps(document), status, headers, "application/problem+json")
