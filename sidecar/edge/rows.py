"""Rows of PostgreSQL's views, or of a snapshot, as an Edge. Pure, and total: a row that cannot be used is left out.

Rows are lists of what JSON knows, by table, in the order of queries.sql:

    services     name, spec (JSON, core.service)
    trust        name, PEM
    identities   name, fingerprint, Vault version, end (Unix seconds)
    choices      tenant, domain or None, service
    client_auth  domain, tenant, hostname, mode, lookup, identity_by, groups_from, CA's PEM, CRL's PEM or None
    below        domain, the names below it
    consumers    id, tenant, name, kind, value, groups
    left_out     kind, name, reason: what was left out of the rest, in a snapshot only

Leaving a row out lets nobody in: who has chosen a service by it is sent to none, whose client certificates it is about
is shut, and a consumer that is not there matches nobody.

What reads certificates takes 0.1 s to import, at a moment when every request waits for this process: it is imported
when there are any.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from core.errors import NameplateError
from core.service import Service, is_name
from sidecar.edge.model import (
    BELOW,
    CHOICE,
    CLIENT_AUTH,
    CONSUMER,
    IDENTITY,
    SERVICE,
    TRUST,
    ClientAuth,
    Consumer,
    Edge,
    Identity,
)

Row = Sequence[Any]
T = TypeVar("T")

LEFT_OUT: Final = "left_out"
# In place of the name of a row, in `Edge.left_out`: all that there are beyond the limit.
BEYOND: Final = "*"
# A name that no service can have: whoever chose one that cannot be read is sent nowhere.
NOWHERE: Final = "-"
MODES: Final = {"required": True, "optional": False}

_fingerprint = re.compile(r"[0-9a-f]{64}").fullmatch

# What a value of the wrong kind or shape leads to.
UNREADABLE: Final = (ValueError, TypeError, LookupError, RecursionError, OverflowError)


class Builder:
    """`before`: what is as it was is the same object again, and not looked into; so is each mapping as a whole."""

    def __init__(self, before: Edge | None = None) -> None:
        self._before = before or Edge()
        self._services: dict[str, Service] = {}
        self._trust: dict[str, bytes] = {}
        self._identities: dict[str, Identity] = {}
        self._by_tenant: dict[str, str] = {}
        self._by_domain: dict[str, str] = {}
        self._client_auth: dict[str, ClientAuth] = {}
        self._below: dict[str, tuple[str, ...]] = {}
        self._consumers: dict[str, list[Consumer]] = {}
        self._left_out: dict[tuple[str, str], str] = {}
        self._added: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._known = {each.id: each for several in self._before.consumers.values() for each in several}

    def add(self, table: str, row: Row) -> None:
        """Raises nothing, whatever is in the row, if there are as many columns as there should be."""
        if table == LEFT_OUT:
            kind, name, reason = row
            self._left_out[str(kind), str(name)] = str(reason)
            return
        of = TABLES[table]
        self._added[table] += 1
        if self._added[table] > of.limit:
            self._left_out[of.kind, BEYOND] = f"too_many: Only {of.limit} are used."
            return
        try:
            of.read(self, row)
        except NameplateError as error:
            self._left_out[of.kind, _name(of.kind, row)] = f"{error.code}: {error.message}"
        except UNREADABLE:
            self._left_out[of.kind, _name(of.kind, row)] = "unreadable: The row is not what it should be."

    def takes_long(self, table: str, row: Row) -> bool:
        """Whether to add it may take 50 ms: lists, of 13,000 entries perhaps, are looked into. Raises nothing."""
        if table != CLIENT_AUTH or len(row) != TABLES[table].columns or not isinstance(row[0], str):
            return False
        known = self._before.client_auth.get(row[0])
        if known is None:
            return True
        crl_pem = None if known.crl_pem is None else known.crl_pem.decode()
        return bool(row[7] != known.ca_pem.decode() or row[8] != crl_pem)

    def edge(self) -> Edge:
        before = self._before
        consumers = {
            tenant: _same(before.consumers.get(tenant), tuple(several)) for tenant, several in self._consumers.items()
        }
        return Edge(
            services=_same(before.services, self._services),
            trust=_same(before.trust, self._trust),
            identities=_same(before.identities, self._identities),
            by_tenant=_same(before.by_tenant, self._by_tenant),
            by_domain=_same(before.by_domain, self._by_domain),
            client_auth=_same(before.client_auth, self._client_auth),
            consumers=_same(before.consumers, consumers),
            left_out=_same(before.left_out, self._left_out),
            below=_same(before.below, self._below),
        )

    def service(self, row: Row) -> None:
        name, spec = row
        service = Service.from_json(name, json.loads(spec))
        self._services[name] = _same(self._before.services.get(name), service)

    def bundle(self, row: Row) -> None:
        name, pem = _named(row[0]), _text(row[1]).encode()
        known = self._before.trust.get(name)
        if known != pem:
            from core.trust import authority_certificates  # noqa: PLC0415 -- see above

            authority_certificates(row[1])
        self._trust[name] = _same(known, pem)

    def identity(self, row: Row) -> None:
        name, fingerprint, version, not_after = row
        if _fingerprint(fingerprint) is None or type(version) is not int:
            raise ValueError
        if not math.isfinite(not_after):
            raise ValueError
        identity = Identity(_named(name), fingerprint, version, float(not_after))
        self._identities[name] = _same(self._before.identities.get(name), identity)

    def choice(self, row: Row) -> None:
        tenant, domain, service = row
        chosen, of = (self._by_tenant, _uuid(tenant)) if domain is None else (self._by_domain, _uuid(domain))
        chosen[of] = NOWHERE
        chosen[of] = _named(service)

    def client(self, row: Row) -> None:
        domain, tenant, hostname, mode, lookup, identity_by, groups_from, ca_pem, crl_pem = row
        if type(lookup) is not bool:
            raise TypeError
        auth = ClientAuth(
            domain_id=_uuid(domain),
            tenant_id=_uuid(tenant),
            hostname=_text(hostname),
            required=MODES[mode],
            lookup=lookup,
            identity_by=_texts(identity_by),
            groups_from=None if groups_from is None else _text(groups_from),
            ca_pem=_text(ca_pem).encode(),
            crl_pem=None if crl_pem is None else _text(crl_pem).encode(),
        )
        known = self._before.client_auth.get(domain)
        if known is None or (known.ca_pem, known.crl_pem) != (auth.ca_pem, auth.crl_pem):
            from core.client_auth import read_authorities, read_crls  # noqa: PLC0415 -- see above

            # What can be read, and no more: a list that is stale by now goes to Envoy, which refuses its clients then.
            read_authorities(ca_pem)
            if crl_pem is not None:
                read_crls(crl_pem)
        self._client_auth[domain] = _same(known, auth)

    def names(self, row: Row) -> None:
        domain, hostnames = row
        self._below[_uuid(domain)] = _same(self._before.below.get(domain), _texts(hostnames))

    def consumer(self, row: Row) -> None:
        number, tenant, name, kind, value, groups = row
        words = _uuid(number), _uuid(tenant), _text(name), _text(kind), _text(value)
        consumer = Consumer(*words, groups=_texts(groups))
        self._consumers.setdefault(tenant, []).append(_same(self._known.get(number), consumer))


@dataclass(frozen=True, slots=True)
class Table:
    """`limit`: rows that are used, 0.2 to 5 KB each; those beyond are left out."""

    kind: str
    columns: int
    limit: int
    read: Callable[[Builder, Row], None]


TABLES: Final[Mapping[str, Table]] = {
    "services": Table(SERVICE, 2, 10_000, Builder.service),
    "trust": Table(TRUST, 2, 10_000, Builder.bundle),
    "identities": Table(IDENTITY, 4, 10_000, Builder.identity),
    "choices": Table(CHOICE, 3, 1_000_000, Builder.choice),
    # Twice what control lets be (api.client_auth).
    "client_auth": Table(CLIENT_AUTH, 9, 4_000, Builder.client),
    "below": Table(BELOW, 2, 4_000, Builder.names),
    "consumers": Table(CONSUMER, 6, 500_000, Builder.consumer),
}


def rows_of(edge: Edge) -> Iterator[tuple[str, list[Any]]]:
    """Table and row of everything in it: a Builder makes an equal edge of them."""
    for name, service in edge.services.items():
        yield "services", [name, json.dumps(service.to_json(), separators=(",", ":"))]
    for name, pem in edge.trust.items():
        yield "trust", [name, pem.decode()]
    for one in edge.identities.values():
        yield "identities", [one.name, one.fingerprint, one.vault_version, one.not_after]
    for tenant, service_name in edge.by_tenant.items():
        yield "choices", [tenant, None, service_name]
    for domain, service_name in edge.by_domain.items():
        yield "choices", [str(_no_tenant), domain, service_name]
    for auth in edge.client_auth.values():
        mode = "required" if auth.required else "optional"
        crl = None if auth.crl_pem is None else auth.crl_pem.decode()
        how = [mode, auth.lookup, list(auth.identity_by), auth.groups_from, auth.ca_pem.decode(), crl]
        yield "client_auth", [auth.domain_id, auth.tenant_id, auth.hostname, *how]
    for domain, hostnames in edge.below.items():
        yield "below", [domain, list(hostnames)]
    for several in edge.consumers.values():
        for each in several:
            yield "consumers", [each.id, each.tenant_id, each.name, each.kind, each.value, list(each.groups)]
    for (kind, name), reason in edge.left_out.items():
        yield LEFT_OUT, [kind, name, reason]


def build(rows: Iterable[tuple[str, Row]], before: Edge | None = None) -> Edge:
    """All at once."""
    builder = Builder(before)
    for table, row in rows:
        builder.add(table, row)
    return builder.edge()


# Whose a domain is does not matter to its choice.
_no_tenant = UUID(int=0)


def _name(kind: str, row: Row) -> str:
    """Of a row that is left out: its domain's, if it is a choice of one."""
    tenant_or_name, more = row[0], row[1]
    return str(more if kind == CHOICE and more is not None else tenant_or_name)


def _same(known: T | None, now: T) -> T:
    return known if known is not None and known == now else now


def _named(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def _uuid(value: object) -> str:
    """In the form that PostgreSQL gives it."""
    if not isinstance(value, str) or str(UUID(value)) != value:
        raise ValueError
    return value
