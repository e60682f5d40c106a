"""The one call of the Kubernetes API that Vault's auth method makes: TokenReview, over TLS.

There is no API server to be had here. What stands in for it does what one does at this call: it takes it from a bearer
that may make it, and says of a token whether it was signed by the cluster's key for its issuer and audience, has not
ended, and belongs to a service account that is there. All else is the real OpenBao plugin.

Sources: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/,
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from scenes import tls_pair
from scenes.hierarchy import Issued, issue

from embedded.ports import LOOPBACK

ISSUER = "https://kubernetes.default.svc.cluster.local"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@dataclass(slots=True)
class Cluster:
    """`accounts`: uid by (namespace, name). `reviews`: what was said, in order."""

    accounts: dict[tuple[str, str], str] = field(default_factory=dict)
    reviews: list[bool] = field(default_factory=list)
    reviewer: str = field(default="", repr=False)
    url: str = ""
    authority: Issued = field(default_factory=lambda: issue("Cluster", ca=True), repr=False)
    _key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False)

    def account(self, namespace: str, name: str) -> None:
        self.accounts[namespace, name] = str(uuid4())

    def token(self, namespace: str, name: str, *, seconds: float = 600, key: Any = None) -> str:
        """As the kubelet projects one. `key`: another cluster's."""
        now = int(time.time())
        uid = self.accounts.get((namespace, name), "")
        claims = {
            "iss": ISSUER,
            "aud": [ISSUER],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": now,
            "nbf": now - 5,
            "exp": now + seconds,
            "jti": str(uuid4()),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        }
        return jwt.encode(claims, key or self._key, algorithm="RS256", headers={"kid": "cluster"})

    def review(self, token: str) -> dict[str, Any]:
        """`status` of the answer."""
        try:
            claims = jwt.decode(token, self._key.public_key(), ["RS256"], issuer=ISSUER, audience=ISSUER)
        except jwt.InvalidTokenError as error:
            return {"authenticated": False, "error": str(error)}
        account = claims["kubernetes.io"]
        namespace, name = account["namespace"], account["serviceaccount"]["name"]
        uid = self.accounts.get((namespace, name))
        if uid is None or uid != account["serviceaccount"]["uid"]:
            return {"authenticated": False, "error": "the service account is gone"}
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        user = {"username": claims["sub"], "uid": uid, "groups": groups}
        return {"authenticated": True, "user": user, "audiences": [ISSUER]}


@contextmanager
def serve() -> Iterator[Cluster]:
    """On loopback over TLS, until the block ends."""
    cluster = Cluster()
    cluster.account("vault", "reviewer")
    cluster.reviewer = cluster.token("vault", "reviewer", seconds=3600)

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
            if self.path != REVIEWS or body.get("kind") not in ("TokenReview", None):
                return self._answer(404, {"kind": "Status", "code": 404})
            if cluster.review(bearer).get("user", {}).get("username") != "system:serviceaccount:vault:reviewer":
                return self._answer(401, {"kind": "Status", "code": 401})
            status = cluster.review(body["spec"]["token"])
            cluster.reviews.append(status["authenticated"])
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
            return self._answer(201, review)

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    shown = issue("localhost", cluster.authority, names=("localhost",))
    context = tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), shown.pem + shown.key_pem)
    server = ThreadingHTTPServer((LOOPBACK, 0), Api)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
