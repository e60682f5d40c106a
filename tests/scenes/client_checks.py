"""A domain that asks for client certificates, as the ext_authz server answers for it: nothing else runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from scenes import checks
from scenes.client_certificates import NOW, Authority, Leaf, pem
from scenes.edges import edges

from sidecar.authz.check import Checker
from sidecar.authz.client import Clients
from sidecar.authz.refusal import Outcome
from sidecar.directory.entry import FIELDS, Entry
from sidecar.edge.model import ClientAuth, Consumer, Edge
from sidecar.edge.table import EdgeTable
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
OTHER = Authority.root("Root B", 4)
TENANT, NEIGHBOUR = checks.TENANTS
HOST, WILD, PLAIN = "api.mybrand.co", "*.wild.example", "shop.mybrand.co"
IDS = {HOST: "d0000000-0000-0000-0000-00000000000a", WILD: "d0000000-0000-0000-0000-00000000000b"}

Answer = tuple[int, Mapping[str, str]]


def entry(hostname: str, tenant: str = TENANT, *, client_auth: bool = True) -> Entry:
    plain = checks.entry(hostname)
    fields = {name: getattr(plain, name) for name in FIELDS}
    return Entry(
        **fields | {"tenant_id": tenant, "domain_id": IDS.get(hostname, plain.domain_id), "client_auth": client_auth}
    )


def auth(hostname: str = HOST, **fields: Any) -> ClientAuth:
    made = ClientAuth(
        domain_id=IDS[hostname],
        tenant_id=TENANT,
        hostname=hostname,
        required=True,
        lookup=False,
        identity_by=("san", "subject", "fingerprint"),
        groups_from=None,
        ca_pem=ROOT.pem.encode(),
        crl_pem=None,
    )
    return replace(made, **fields)


def consumer(number: int, kind: str, value: str, name: str = "orders", *groups: str, tenant: str = TENANT) -> Consumer:
    return Consumer(f"c0000000-0000-0000-0000-{number:012d}", tenant, name, kind, value, groups)


class Scene:
    """A checker over an edge and a directory that a test may change; its clock stands still unless it is moved."""

    def __init__(self, *auths: ClientAuth, consumers: tuple[Consumer, ...] = ()) -> None:
        self.table: EdgeTable = edges(self.edge(*auths, consumers=consumers))
        self.names = checks.Names(
            [entry(HOST), entry(WILD), entry("own.wild.example", NEIGHBOUR, client_auth=False), *checks.ENTRIES[:1],
             *checks.ENTRIES[-2:]]
        )  # fmt: skip
        self.now = NOW.timestamp()
        self.checker = Checker(self.names, checks.Tokens(), self.table, bytes, Clients(lambda: self.now))

    def edge(self, *auths: ClientAuth, consumers: tuple[Consumer, ...] = ()) -> Edge:
        return Edge(client_auth={one.domain_id: one for one in auths}, consumers={TENANT: consumers})

    def change(self, *auths: ClientAuth, consumers: tuple[Consumer, ...] = ()) -> None:
        self.table.replace(self.edge(*auths, consumers=consumers))

    def ask(self, leaf: Leaf | None = None, host: str = HOST, sni: str | None = None, chain: bool = True) -> Answer:
        """Status (200: it passes) and headers."""
        answer = self.checker.check(request(leaf, host, host if sni is None else sni, chain=chain))
        assert isinstance(answer, bytes)
        response = CheckResponse.FromString(answer)
        if response.HasField("denied_response"):
            return response.denied_response.status.code, {}
        return 200, {option.header.key: option.header.value for option in response.ok_response.headers}

    def outcome(self, leaf: Leaf | None = None, host: str = HOST, sni: str | None = None) -> Outcome:
        before = dict(self.checker.stats())
        self.ask(leaf, host, sni)
        (counted,) = (name for name, count in self.checker.stats().items() if count != before[name])
        return Outcome(counted)


def request(leaf: Leaf | None, host: str, sni: str, *, chain: bool = True) -> bytes:
    """What Envoy sends of a chain that asks for client certificates."""
    made = CheckRequest.FromString(checks.check_request(host, b"/", sni))
    if leaf is not None:
        shown = [quote(pem(one), safe="") for one in (leaf.certificate, *leaf.chain)]
        made.attributes.source.certificate = shown[0].encode()
        if chain:
            header = f'Hash=00;Chain="{"".join(shown)}"'
            entry = CheckRequest.HeaderEntry(key="x-forwarded-client-cert", value=header.encode())
            made.attributes.request.http.headers.append(entry.SerializeToString())
    return made.SerializeToString()


def identity(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix("x-nameplate-"): value
        for key, value in headers.items()
        if key not in ("x-tenant-id", "x-nameplate-host", "x-nameplate-cluster")
    }
