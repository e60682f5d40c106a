"""Names of client certificates as texts: one spelling each, from a certificate and from a tenant's hand alike."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scenes.client_certificates import Authority

from core.client_identity import (
    KINDS,
    MAX_VALUE,
    ClientIdentityError,
    groups_of,
    parse_group,
    parse_groups_from,
    parse_value,
    sans_of,
    subject_of,
    subject_text,
)
from sidecar.authz.client import Client
from sidecar.authz.client_identity import Consumers, identify
from sidecar.edge.model import ClientAuth

ROOT = Authority.root()
OIDS = (
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.USER_ID,
    x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"),
)
# What a certificate may hold, the characters that mean something to RFC 4514 above all.
VALUES = st.text(st.sampled_from('ab ,+"\\<>;=#%/äß中\U0001f600'), min_size=1, max_size=8)
ATTRIBUTES = st.builds(x509.NameAttribute, st.sampled_from(OIDS), VALUES)
RDNS = st.lists(ATTRIBUTES, min_size=1, max_size=3, unique_by=lambda part: part.oid).map(x509.RelativeDistinguishedName)
NAMES = st.lists(RDNS, min_size=1, max_size=4).map(x509.Name)

LABELS = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,8}[a-zA-Z0-9_])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
URIS = st.from_regex(r"[a-z][a-z0-9+.-]{0,5}:[!-~]{1,30}", fullmatch=True)
MAILS = st.builds("{}@{}".format, st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,10}", fullmatch=True), HOSTS)
ALTERNATIVES = st.lists(
    st.builds(x509.DNSName, HOSTS)
    | st.builds(x509.UniformResourceIdentifier, URIS)
    | st.builds(x509.RFC822Name, MAILS)
    | st.builds(x509.IPAddress, st.ip_addresses())
    | st.just(x509.RegisteredID(NameOID.COMMON_NAME)),
    min_size=1,
    max_size=4,
)


@given(NAMES)
def test_a_subject_as_a_certificate_has_it_is_what_a_tenant_would_write(name: x509.Name) -> None:
    text = subject_text(name)
    assume(len(text) <= MAX_VALUE)
    assert parse_value("subject", text) == text


@given(NAMES, NAMES)
def test_two_subjects_have_one_text_only_if_they_are_the_same_but_for_the_order_within_an_rdn(
    one: x509.Name, other: x509.Name
) -> None:
    def parts(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
        return [frozenset((part.oid.dotted_string, str(part.value)) for part in rdn) for rdn in name.rdns]

    assert (subject_text(one) == subject_text(other)) == (parts(one) == parts(other))


@settings(max_examples=50)
@given(ALTERNATIVES)
def test_an_alternative_name_as_a_certificate_has_it_is_what_a_tenant_would_write(
    names: list[x509.GeneralName],
) -> None:
    for text in sans_of(ROOT.issue("CN=a", names).certificate):
        assert parse_value("san", text) == text


@given(st.sampled_from(KINDS), st.text() | st.from_regex(r"(dns|uri|email|ip):.{0,20}|[0-9A-Fa-f:]{60,70}|CN=.{0,9}"))
@example("subject", "CN=#04024869")
@example("subject", "CN=#zz")
@example("subject", "CN=\\")
@example("subject", "2.5=a")
@example("subject", "CN=a,")
@example("san", "ip:::1%eth0")
@example("san", "dns:" + "a." * 200)
def test_any_text_has_a_normal_form_that_is_its_own_or_is_refused(kind, text: str) -> None:  # type: ignore[no-untyped-def]
    try:
        value = parse_value(kind, text)
    except ClientIdentityError as error:
        assert error.code == "consumer_value_invalid"
        return
    assert parse_value(kind, value) == value


@given(st.text())
@example("uri:spiffe://a/")
def test_any_text_says_where_groups_come_from_or_is_refused(text: str) -> None:
    try:
        assert parse_groups_from(text) == text
    except ClientIdentityError as error:
        assert error.code == "groups_from_invalid"
    else:
        groups_of(ROOT.issue("CN=a").certificate, text)


@given(st.text())
def test_any_text_is_a_group_as_it_is_or_is_refused(text: str) -> None:
    try:
        assert parse_group(text) == text
    except ClientIdentityError as error:
        assert error.code == "group_invalid"


@settings(max_examples=50)
@given(NAMES, ALTERNATIVES, st.sampled_from(["O", "OU", "uri:a:", None]))
def test_headers_are_visible_ascii_and_say_the_names_again(
    subject: x509.Name, names: list[x509.GeneralName], groups_from: str | None
) -> None:
    certificate = ROOT.issue(subject, names).certificate
    auth = ClientAuth("d", "t", "a.test", True, False, ("san",), groups_from, b"", None)
    client = identify(auth, Consumers(()), certificate)
    assert isinstance(client, Client)
    headers = dict(client.headers)
    assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())
    assert unquote(headers["x-nameplate-client-subject"]) == subject_of(certificate)

    def listed(header: str) -> tuple[str, ...]:
        return tuple(map(unquote, headers[header].split(","))) if header in headers else ()

    assert listed("x-nameplate-client-san") == sans_of(certificate)
    assert listed("x-nameplate-groups") == (() if groups_from is None else groups_of(certificate, groups_from))


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("san", "DNS:Orders.Test", "dns:orders.test"),
        ("san", "email:Jane.Doe@Acme.TEST", "email:Jane.Doe@acme.test"),
        ("san", "ip:2001:DB8:0::1", "ip:2001:db8::1"),
        ("san", "uri:spiffe://acme.test/A", "uri:spiffe://acme.test/A"),
        ("fingerprint", ":".join(["AB"] * 32), "ab" * 32),
        ("subject", "CN=a,O=b", "CN=a,O=b"),
        ("subject", "emailAddress=a@b.test,CN=a", "1.2.840.113549.1.9.1=a@b.test,CN=a"),
        ("subject", "O=z+CN=a", "CN=a+O=z"),
        ("subject", "CN=a\\2Cb", "CN=a\\,b"),
    ],
)
def test_what_people_write_has_one_spelling(kind, written: str, normal: str) -> None:  # type: ignore[no-untyped-def]
    assert parse_value(kind, written) == normal
