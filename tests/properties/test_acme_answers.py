"""Whatever a CA sends, reading it ends in a record or in the one error that says so."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from control.acme.directory import Directory
from control.acme.network import LONGEST_RETRY_AFTER, retry_after
from control.acme.order import Authorization, NotAcme, Order
from control.acme.problems import MAX_DETAIL, URN, AcmeRefused, Problem, explain
from control.acme.renewal_info import LONGEST_POLL, SHORTEST_POLL, RenewalInfo

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TEXTS = st.sampled_from(
    ["pending", "valid", "invalid", "dns", "http-01", "2016-01-20T14:09:07Z", "a" * 43, URN + "caa"]
)
IDENTIFIER = {"type": "dns", "value": "shop.example.com"}
CHALLENGE = {"type": "http-01", "url": "https://ca/chall/1", "status": "pending", "token": "a" * 43}
ORDER = {
    "status": "pending",
    "identifiers": [IDENTIFIER],
    "authorizations": ["https://ca/authz/1"],
    "finalize": "https://ca/finalize/1",
}
AUTHORIZATION = {"status": "pending", "identifier": IDENTIFIER, "challenges": [CHALLENGE]}
META = {"caaIdentities": ["ca.example"], "profiles": {"short": "6 days"}, "externalAccountRequired": True}
DIRECTORY = {"newOrder": "https://ca/order", "renewalInfo": "https://ca/ari", "meta": META}
WINDOW = {"start": "2026-01-02T03:04:05Z", "end": "2026-01-03T03:04:05.678901234+01:00"}
RENEWAL = {"suggestedWindow": WINDOW, "explanationURL": "https://ca/why"}
PROBLEM = {"type": URN + "compound", "detail": "both", "status": 403, "subproblems": [{"type": URN + "caa"}]}


def nearly(right: dict[str, object], *optional: str) -> st.SearchStrategy[object]:
    """The object with one field replaced or removed, so that the reader gets further than the first field."""
    names = st.sampled_from([*right, *optional])
    replaced = st.builds(lambda name, value: {**right, name: value}, names, JSON | TEXTS)
    return replaced | names.map(lambda name: {key: value for key, value in right.items() if key != name}) | JSON


BASE64URL = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(nearly(ORDER, "expires", "certificate", "error"))
def test_an_order_is_read_or_refused(fields):
    try:
        order = Order.from_json(fields, "https://ca/order/1")
    except NotAcme:
        return
    assert all(isinstance(url, str) and url for url in order.authorizations)


@given(
    nearly(AUTHORIZATION, "expires")
    | nearly(CHALLENGE, "error").map(lambda challenge: {**AUTHORIZATION, "challenges": [challenge]})
)
def test_an_authorization_is_read_or_refused(fields):
    try:
        authorization = Authorization.from_json(fields, "https://ca/authz/1")
    except NotAcme:
        return
    assert all(one.token.isascii() and "/" not in one.token for one in authorization.challenges)


@given(
    nearly(DIRECTORY)
    | nearly(META, "website", "termsOfService").map(lambda meta: {**DIRECTORY, "meta": meta})
    | (JSON | TEXTS).map(lambda one: {**DIRECTORY, "meta": {**META, "caaIdentities": [one], "profiles": {"x": one}}})
)
def test_a_directory_is_read_or_refused(fields):
    try:
        directory = Directory.from_json(fields)
    except NotAcme:
        return
    meta = directory.meta
    assert all(url.startswith(("http", "HTTP")) for url in directory.urls.values())
    assert all(isinstance(one, str) and one == one.lower() for one in meta.caa_identities)
    assert all(name.isascii() and " " not in name for name in meta.profiles)
    assert meta.external_account_required in (True, False)


DATES = st.datetimes().map(lambda date: f"{date.isoformat()}Z")


@given(
    nearly(RENEWAL)
    | nearly(WINDOW).map(lambda window: {**RENEWAL, "suggestedWindow": window})
    | st.builds(lambda start, end: {"suggestedWindow": {"start": start, "end": end}}, DATES, DATES),
    st.none() | st.timedeltas(),
)
def test_renewal_information_is_read_or_refused(fields, wait):
    try:
        info = RenewalInfo.from_json(fields, wait)
    except NotAcme:
        return
    assert info.start < info.end
    assert info.start.tzinfo is info.end.tzinfo is UTC
    assert SHORTEST_POLL <= info.retry_after <= LONGEST_POLL


@given(nearly(PROBLEM), st.none() | st.integers(100, 599))
def test_a_refusal_of_whatever_kind_says_who_acts_and_whether_it_is_the_ca_as_a_whole(fields, status):
    refused = AcmeRefused(Problem.from_json(fields, status))
    assert refused.meaning.code == refused.code
    assert not (refused.meaning.counts and refused.meaning.outage), "a tenant's mistake is no outage"


@given(nearly(PROBLEM), st.none() | st.integers(100, 599), st.booleans())
def test_every_problem_has_a_meaning_and_can_be_written_down(fields, status, validating):
    problem = Problem.from_json(fields, status)
    meaning = explain(problem, validating=validating)
    assert meaning.who in {"tenant", "operator", "ca"}
    assert len(problem.detail) <= MAX_DETAIL
    assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


@given(
    st.text(max_size=50),
    BASE64URL.filter(lambda text: len(text) >= 16),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(['"', " ", ", ", "\n", ")", ".", ". ", ""]),
)
def test_no_key_authorization_passes_through_a_problem(before, token, digest, after):
    thumbprint = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    problem = Problem.from_json({"type": "x", "detail": f"{before} {token}.{thumbprint}{after}"})
    assert thumbprint not in problem.detail


@given(st.none() | st.text() | st.integers().map(str) | st.datetimes().map(lambda date: f"{date:%a, %d %b %Y %T} GMT"))
def test_retry_after_is_within_its_bounds_or_ignored(text):
    wait = retry_after(text, datetime.now(UTC))
    assert wait is None or timedelta(0) <= wait <= LONGEST_RETRY_AFTER
