"""Whatever an operator writes of a service: it is read, and written again the same, or refused with its place."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bounds import BREAKER, HEALTH, TIMES
from core.service import Service, ServiceError, UpstreamTls, is_name
from core.upstream_name import host_kind, normal_host, tls_name_kind

CODES = {
    "name_invalid",
    "unknown_field",
    "missing_field",
    "wrong_type",
    "value_out_of_range",
    "value_unknown",
    "service_address_invalid",
    "service_address_repeated",
    "service_addresses_mixed",
    "service_path_invalid",
    "tls_name_invalid",
    "tls_names_missing",
    "reference_invalid",
}
LABELS = st.from_regex(r"[a-z]([a-z0-9_-]{0,8}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
IPS = st.ip_addresses().filter(lambda ip: not (ip.is_unspecified or ip.is_multicast)).map(str)
PORTS = st.integers(1, 65535)
REFERENCES = st.none() | st.sampled_from(["system", "default", "a-ca"])


def addresses(hosts):
    return st.lists(
        st.fixed_dictionaries({"host": hosts, "port": PORTS | PORTS.map(float)}),
        min_size=1,
        max_size=4,
        unique_by=lambda one: (normal_host(one["host"]), int(one["port"])),
    )


def numbers(table):
    return {member: st.integers(bounds.least, bounds.most) for member, bounds in table.values()}


SERVICES = st.fixed_dictionaries(
    {"addresses": addresses(HOSTS) | addresses(IPS)},
    optional={
        "protocol": st.sampled_from(["http1", "http2"]),
        **numbers(TIMES),
        "healthCheck": st.none() | st.fixed_dictionaries({}, optional={"path": st.just("/up?a=1"), **numbers(HEALTH)}),
        "circuitBreaker": st.none() | st.fixed_dictionaries({}, optional=numbers(BREAKER)),
        "tls": st.none()
        | st.fixed_dictionaries(
            {"names": st.lists(HOSTS | IPS | st.just("spiffe://platform/Shop"), min_size=1, max_size=3)},
            optional={"sni": st.none() | HOSTS, "trust": REFERENCES, "identity": REFERENCES},
        ),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


@given(SERVICES)
def test_what_is_right_is_read_and_written_again_the_same(document):
    service = Service.from_json("shop", document)
    written = service.to_json()
    assert Service.from_json("shop", json.loads(json.dumps(written))) == service
    for member, value in document.items():
        if isinstance(value, int | str):
            assert written[member] == value
    assert service.is_static == all(host_kind(one.host) == "ip" for one in service.addresses)
    assert len(written["addresses"]) == len(document["addresses"])


@given(SERVICES, st.data())
def test_one_wrong_value_is_refused_with_its_place(document, data):
    """One member, at any depth, is replaced by anything."""
    at, where = "", document
    while True:
        key = data.draw(st.sampled_from(range(len(where)) if isinstance(where, list) else sorted(where)))
        at += f"/{key}"
        if not isinstance(where[key], dict | list) or not where[key] or data.draw(st.booleans()):
            where[key] = data.draw(JSON)
            break
        where = where[key]
    try:
        service = Service.from_json("shop", document)
    except ServiceError as refused:
        assert refused.code in CODES
        # A value may be wrong only beside another one, or in its own inside.
        parts = [part for part in (at, refused.pointer) if part]
        assert parts[-1].split("/")[1] == at.split("/")[1] or refused.pointer.startswith(("/addresses", "/tls"))
    else:
        assert Service.from_json("shop", service.to_json()) == service


@given(JSON, st.text(max_size=9))
def test_anything_at_all_is_read_or_refused(document, name):
    try:
        Service.from_json(name, document)
    except ServiceError as refused:
        assert refused.code in CODES
        assert (refused.code == "name_invalid") == (not is_name(name))


@given(st.text(max_size=20) | st.from_regex(r"(?:0x)?[0-9a-f.:]{1,20}", fullmatch=True))
def test_a_host_is_an_address_or_a_name_that_no_resolver_takes_for_one(text):
    found = normal_host(text)
    if found is None:
        return
    assert normal_host(found) == found
    if host_kind(found) == "ip":
        assert str(ipaddress.ip_address(found)) == found
    else:
        last = found.removesuffix(".").rpartition(".")[2]
        assert found.isascii() and not last.isdigit()
        with pytest.raises(ValueError, match=r"does not appear to be|Expected|invalid"):
            ipaddress.ip_address(found.removesuffix("."))


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "-a", "a-", "a b", "a/b", "a:80", "[::1]", "127.1", "0x7f.1", "2130706433", "1.2.3.256", "::",
     "0.0.0.0", "224.0.0.1", "fe80::1%eth0", "ü.example", "a" * 64, "a." * 126 + "aa", "*.example.com", "a\n"],
)  # fmt: skip
def test_what_is_no_host(host):
    assert normal_host(host) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.example", "dns"),
        ("*.example.com", "dns"),
        ("*", None),
        ("*.com", None),
        ("a.*.com", None),
        ("a.example.", None),
        ("127.0.0.1", "ip"),
        ("2001:db8::1", "ip"),
        ("spiffe://platform.io/ns/shop", "uri"),
        ("spiffe:", None),
        ("https://a b", None),
        ("", None),
    ],
)
def test_kinds_of_names_in_a_certificate(name, kind):
    assert tls_name_kind(name) == kind


@pytest.mark.parametrize(
    ("hosts", "tls", "read"),
    [
        (["app.internal"], {}, UpstreamTls("app.internal", ("app.internal",))),
        (["app.internal."], {}, UpstreamTls("app.internal", ("app.internal",))),
        (["app.internal"], {"sni": None}, UpstreamTls(None, ("app.internal",))),
        (["a.internal", "b.internal"], {}, UpstreamTls(None, ("a.internal", "b.internal"))),
        (["10.0.0.1"], {"sni": "App.Internal"}, UpstreamTls("app.internal", ("app.internal",))),
        (["10.0.0.1"], {"names": ["10.0.0.1"]}, UpstreamTls(None, ("10.0.0.1",))),
        (["10.0.0.1"], {"sni": "a.b", "names": ["spiffe://P/x"]}, UpstreamTls("a.b", ("spiffe://P/x",))),
    ],
)
def test_a_certificate_is_always_held_against_a_name(hosts, tls, read):
    document = {"addresses": [{"host": host, "port": 443} for host in hosts], "tls": tls}
    assert Service.from_json("shop", document).tls == read


@pytest.mark.parametrize(
    ("tls", "code", "pointer"),
    [
        ({}, "tls_names_missing", "/tls/names"),
        ({"names": []}, "tls_names_missing", "/tls/names"),
        ({"sni": "10.0.0.1"}, "tls_name_invalid", "/tls/sni"),
        ({"sni": "*.a.com"}, "tls_name_invalid", "/tls/sni"),
        ({"names": ["a b"]}, "tls_name_invalid", "/tls/names/0"),
        ({"sni": "a.b", "trust": "Not a name"}, "reference_invalid", "/tls/trust"),
        ({"sni": "a.b", "verify": False}, "unknown_field", "/tls/verify"),
    ],
)
def test_tls_that_is_refused(tls, code, pointer):
    with pytest.raises(ServiceError) as refused:
        Service.from_json("shop", {"addresses": [{"host": "10.0.0.1", "port": 443}], "tls": tls})
    assert (refused.value.code, refused.value.pointer) == (code, pointer)
