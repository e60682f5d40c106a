"""An upstream service: where requests are sent, and how. What the operator writes is what the sidecar reads.

`Service.from_json` is the one way in: the API's body and the database's `spec` are the same document. Strict: an
unknown member, a number out of its bounds or a host that is no address is refused, with the member's pointer
(RFC 6901). It does no I/O: it knows neither whether a host exists nor whether a bundle or an identity of the name does.

    code                       refused
    name_invalid               a name that is not a label of a-z, 0-9 and inner hyphens, of 63 characters at most
    unknown_field, missing_field, wrong_type
    value_out_of_range         a number, or a list's length
    value_unknown              a word that is not one of those there are
    service_address_invalid    a host that is neither an IP address nor a hostname of the DNS
    service_address_repeated   the same host and port twice
    service_addresses_mixed    IP addresses beside hostnames
    service_path_invalid       of the health check
    tls_name_invalid           no DNS name, IP address or URI
    tls_names_missing          TLS without a name to hold the upstream's certificate against
    reference_invalid          no name that a bundle or an identity can have
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from core.bounds import BREAKER, HEALTH, PORT, TIMES, Bounds
from core.errors import NameplateError
from core.upstream_name import host_kind, normal_host, tls_name_kind

Protocol = Literal["http1", "http2"]
PROTOCOLS: tuple[Protocol, ...] = ("http1", "http2")
DEFAULT = "default"  # the service, the bundle and the identity that are used where none is named
SYSTEM = "system"  # in place of a bundle's name: the machine's own authorities

MAX_ADDRESSES = 64
MAX_NAMES = 64
MAX_PATH = 1024
MAX_NAME_SHOWN = 64

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# The origin form of a request target (RFC 9112 section 3.2.1): visible ASCII without a fragment.
_PATH = re.compile(r"/[!\"$-~]*")


class ServiceError(NameplateError):
    """`pointer`: the member at fault (RFC 6901), below the service's document."""

    def __init__(self, code: str, message: str, pointer: str = "") -> None:
        super().__init__(code, message)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Address:
    """`host`: in the form of core.upstream_name.normal_host."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`unhealthy`, `healthy`: so many answers of a kind in a row."""

    path: str
    interval_ms: int
    timeout_ms: int
    unhealthy: int
    healthy: int


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    max_connections: int = BREAKER["max_connections"][1].default
    max_pending: int = BREAKER["max_pending"][1].default
    max_requests: int = BREAKER["max_requests"][1].default
    max_retries: int = BREAKER["max_retries"][1].default


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """`names`: the upstream's certificate must have one of them (core.upstream_name.tls_name_kind); never empty.

    `trust`: a bundle's name, SYSTEM, or None for the bundle DEFAULT. `identity`: a name, or None for the identity
    DEFAULT, if there is one.
    """

    sni: str | None
    names: tuple[str, ...]
    trust: str | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Times in milliseconds. `request_timeout_ms`: 0 for none. `idle_timeout_ms`: of a connection in the pool."""

    name: str
    addresses: tuple[Address, ...]
    protocol: Protocol = "http1"
    connect_timeout_ms: int = TIMES["connect_timeout_ms"][1].default
    request_timeout_ms: int = TIMES["request_timeout_ms"][1].default
    idle_timeout_ms: int = TIMES["idle_timeout_ms"][1].default
    max_connection_duration_ms: int = TIMES["max_connection_duration_ms"][1].default
    health_check: HealthCheck | None = None
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    tls: UpstreamTls | None = None

    @property
    def is_static(self) -> bool:
        """Whether its addresses are IP addresses, rather than names to look up."""
        return host_kind(self.addresses[0].host) == "ip"

    @classmethod
    def from_json(cls, name: str, document: object) -> Service:
        """`document`: as json.loads gives it. Raises ServiceError and nothing else."""
        if not is_name(name):
            raise ServiceError(
                "name_invalid", "A name is 1 to 63 characters of a-z, 0-9 and hyphens, no hyphen at its ends."
            )
        known = ("addresses", "protocol", "healthCheck", "circuitBreaker", "tls", *(n for n, _ in TIMES.values()))
        given = _members(document, "", known)
        if "addresses" not in given:
            raise ServiceError("missing_field", "The field addresses is missing.", "/addresses")
        addresses = _addresses(given["addresses"])
        protocol = given.get("protocol", "http1")
        if protocol not in PROTOCOLS:
            raise ServiceError("value_unknown", f"protocol is one of {', '.join(PROTOCOLS)}.", "/protocol")
        health, breaker, tls = given.get("healthCheck"), given.get("circuitBreaker"), given.get("tls")
        return cls(
            name=name,
            addresses=addresses,
            protocol=cast(Protocol, protocol),
            health_check=None if health is None else _health_check(health),
            circuit_breaker=CircuitBreaker() if breaker is None else _circuit_breaker(breaker),
            tls=None if tls is None else _tls(tls, addresses),
            **_numbers(given, "", TIMES),
        )

    def to_json(self) -> dict[str, Any]:
        """The whole document: `from_json` makes an equal service of it."""
        health, tls = self.health_check, self.tls
        return {
            "addresses": [{"host": one.host, "port": one.port} for one in self.addresses],
            "protocol": self.protocol,
            **{member: getattr(self, attribute) for attribute, (member, _) in TIMES.items()},
            "healthCheck": None
            if health is None
            else {"path": health.path, **{member: getattr(health, name) for name, (member, _) in HEALTH.items()}},
            "circuitBreaker": {member: getattr(self.circuit_breaker, name) for name, (member, _) in BREAKER.items()},
            "tls": None
            if tls is None
            else {"sni": tls.sni, "names": list(tls.names), "trust": tls.trust, "identity": tls.identity},
        }


def is_name(text: str) -> bool:
    """Whether a service, a bundle or an identity may have this name."""
    return NAME.fullmatch(text) is not None


def _addresses(value: object) -> tuple[Address, ...]:
    listed = _list(value, "/addresses", 1, MAX_ADDRESSES)
    found: list[Address] = []
    for number, element in enumerate(listed):
        at = f"/addresses/{number}"
        given = _members(element, at, ("host", "port"))
        for member in ("host", "port"):
            if member not in given:
                raise ServiceError("missing_field", f"The field {member} is missing.", f"{at}/{member}")
        host = normal_host(_text(given["host"], f"{at}/host"))
        if host is None:
            raise ServiceError(
                "service_address_invalid", "A host is an IP address without brackets, or a hostname.", f"{at}/host"
            )
        address = Address(host, _number(given["port"], f"{at}/port", PORT))
        if address in found:
            raise ServiceError("service_address_repeated", "The same host and port are given twice.", at)
        if found and host_kind(host) != host_kind(found[0].host):
            message = "Addresses are all IP addresses, or all hostnames."
            raise ServiceError("service_addresses_mixed", message, f"{at}/host")
        found.append(address)
    return tuple(found)


def _health_check(value: object) -> HealthCheck:
    at = "/healthCheck"
    given = _members(value, at, ("path", *(member for member, _ in HEALTH.values())))
    path = _text(given.get("path", "/"), f"{at}/path")
    if len(path) > MAX_PATH or _PATH.fullmatch(path) is None:
        raise ServiceError(
            "service_path_invalid",
            f"A path begins with / and has at most {MAX_PATH} visible ASCII characters, # not being one.",
            f"{at}/path",
        )
    return HealthCheck(path, **_numbers(given, at, HEALTH))


def _circuit_breaker(value: object) -> CircuitBreaker:
    given = _members(value, "/circuitBreaker", tuple(member for member, _ in BREAKER.values()))
    return CircuitBreaker(**_numbers(given, "/circuitBreaker", BREAKER))


def _tls(value: object, addresses: tuple[Address, ...]) -> UpstreamTls:
    given = _members(value, "/tls", ("sni", "names", "trust", "identity"))
    hosts = dict.fromkeys(one.host.removesuffix(".") for one in addresses if host_kind(one.host) == "name")
    sni = given.get("sni", next(iter(hosts)) if len(hosts) == 1 else None)
    if sni is not None:
        sni = _text(sni, "/tls/sni").lower().removesuffix(".")
        if tls_name_kind(sni) != "dns" or "*" in sni:
            raise ServiceError("tls_name_invalid", "The SNI is a hostname.", "/tls/sni")
    names = []
    for number, element in enumerate(_list(given.get("names") or [], "/tls/names", 0, MAX_NAMES)):
        name = _text(element, f"/tls/names/{number}")
        kind = tls_name_kind(name)
        if kind is None:
            message = "A name is a DNS name, an IP address, or a URI such as spiffe://platform/shop."
            raise ServiceError("tls_name_invalid", message, f"/tls/names/{number}")
        names.append(name if kind == "uri" else normal_host(name) or name.lower())
    accepted = tuple(dict.fromkeys(names)) or ((sni,) if sni is not None else tuple(hosts))
    if not accepted:
        message = "Say by sni or names whom the upstream's certificate must name."
        raise ServiceError("tls_names_missing", message, "/tls/names")
    return UpstreamTls(sni, accepted, _reference(given, "trust"), _reference(given, "identity"))


def _reference(given: Mapping[str, Any], member: str) -> str | None:
    if given.get(member) is None:
        return None
    name = _text(given[member], f"/tls/{member}")
    if not is_name(name):
        raise ServiceError("reference_invalid", f"{member} is a name, as it has below /admin.", f"/tls/{member}")
    return name


def _members(value: object, at: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ServiceError("wrong_type", "This is an object.", at)
    for name in value:
        if name not in known:
            pointer = f"{at}/{name[:MAX_NAME_SHOWN].replace('~', '~0').replace('/', '~1')}"
            raise ServiceError("unknown_field", f"The fields here are {', '.join(known)}.", pointer)
    return value


def _list(value: object, at: str, least: int, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise ServiceError("wrong_type", "This is an array.", at)
    if not least <= len(value) <= most:
        raise ServiceError("value_out_of_range", f"It has {least} to {most} elements.", at)
    return value


def _text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise ServiceError("wrong_type", "This is a string.", at)
    return value


def _numbers(given: Mapping[str, Any], at: str, table: Mapping[str, tuple[str, Bounds]]) -> dict[str, Any]:
    return {
        attribute: _number(given.get(member, bounds.default), f"{at}/{member}", bounds)
        for attribute, (member, bounds) in table.items()
    }


def _number(value: object, at: str, bounds: Bounds) -> int:
    """JSON knows one kind of number: 443.0 is 443."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ServiceError("wrong_type", "This is a number.", at)
    if not bounds.least <= value <= bounds.most or value != int(value):
        raise ServiceError("value_out_of_range", f"A whole number from {bounds.least} to {bounds.most}.", at)
    return int(value)
