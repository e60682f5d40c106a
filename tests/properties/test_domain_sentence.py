"""A domain's sentence: every state, and every one that there could be, has one that a person understands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.service import SSL_STATUSES, STATUSES
from api.ui.explained import EXPLAINED
from api.ui.sentence import found, say
from api.ui.situation import ROWS, UNKNOWN, WHO, Situation
from api.ui.texts import STATUS_WORDS
from control.acme import problems
from control.dns import delegation, sighting, verdict
from control.domains import claims, pauses
from control.domains.states import TABLES
from control.limits.policy import LETSENCRYPT
from control.preflight import codes
from core.domain import FOR_TENANTS, Finding

NOW = datetime(2026, 4, 22, 2, tzinfo=UTC)
HOST = "shop.mybrand.co"
CODE = re.compile(r"[a-z]+_[a-z_]+")
JARGON = re.compile(r"ACME|HTTP-01|DNS-01|NXDOMAIN|SERVFAIL|SNI|CSR|preflight|tenant|sidecar|Envoy|\bFQDN\b")


def known() -> Iterator[tuple[str, str]]:
    """Every code that a finding of control can have, and who must act by it."""
    for table in (verdict.EXPLANATIONS, sighting.EXPLANATIONS, delegation.EXPLANATIONS):
        yield from ((str(code), who) for code, (who, _) in table.items())
    yield from ((str(code), who) for code, (_, who, _) in codes.EXPLANATIONS.items())
    for meanings in (problems.NAME_PROBLEMS, problems.VALIDATION_PROBLEMS, problems.REQUEST_PROBLEMS):
        yield from ((one.code, one.who) for one in meanings.values())
    yield from ((one.code, "nobody") for one in LETSENCRYPT)
    yield from [(claims.IN_USE, "tenant"), (claims.COOLING_DOWN, "nobody"), (pauses.PAUSED_BY_TENANT, "tenant")]


KNOWN = sorted(set(known()))
findings = st.one_of(
    st.none(),
    st.builds(
        lambda told, message: Finding(told[0], message, told[1], NOW, {}),
        st.one_of(
            st.sampled_from(KNOWN), st.tuples(st.text(), st.sampled_from(["tenant", "operator", "ca", "nobody", "?"]))
        ),
        st.text(),
    ),
)
flags = st.booleans()


@given(
    status=st.sampled_from(STATUSES) | st.text(),
    ssl=st.sampled_from(SSL_STATUSES) | st.text(),
    finding=findings,
    uploaded=flags,
    ending=flags,
    expired=flags,
    paused=flags,
)
def test_every_situation_has_a_sentence_that_names_the_host_and_who_must_act(
    status: str, ssl: str, finding: Finding | None, uploaded: bool, ending: bool, expired: bool, paused: bool
) -> None:
    said = say(Situation(status, ssl, finding, uploaded, ending, expired, paused), HOST)
    assert HOST in said.text
    assert said.text.endswith(".")
    assert not CODE.search(said.text)
    assert said.label and said.who in WHO
    assert said.tone in {"good", "wait", "act", "bad", "idle"}


@given(st.text())
def test_a_hostname_is_put_in_as_it_is(hostname: str) -> None:
    assert hostname in say(Situation("pending", "none"), hostname).text


def test_no_state_of_the_machines_falls_through_to_the_sentence_of_the_unknown() -> None:
    reached = {state for machine in ("domain", "ssl") for (state, _) in TABLES[machine]} | {
        step.to for machine in ("domain", "ssl") for step in TABLES[machine].values()
    }
    assert reached <= {*STATUSES, *SSL_STATUSES}
    for status, ssl, uploaded, ending, expired, paused in product(STATUSES, SSL_STATUSES, *[(False, True)] * 4):
        said = say(Situation(status, ssl, None, uploaded, ending and uploaded, expired, paused), HOST)
        assert said.text != UNKNOWN.text.replace("{host}", HOST)


def test_no_row_is_hidden_by_one_above_it() -> None:
    told = {code for code, _ in KNOWN} | {""}
    whos = dict(KNOWN)
    reached = set()
    for status, ssl, code, *rest in product(STATUSES, SSL_STATUSES, sorted(told), *[(False, True)] * 4):
        uploaded, ending, expired, paused = rest
        if (ending and not uploaded) or (paused and ssl != "paused"):
            continue
        finding = Finding(code, "", whos[code], NOW, {}) if code else None
        there = Situation(status, ssl, finding, uploaded, ending, expired, paused)
        reached.add(next(number for number, row in enumerate(ROWS) if row.matches(there)))
    assert reached == set(range(len(ROWS)))


def test_a_label_that_is_the_word_for_a_status_is_of_that_status() -> None:
    words = {word: status for status, word in STATUS_WORDS.items()}
    assert len(words) == len(STATUSES)
    for row in ROWS:
        assert words.get(row.label, row.status) == row.status, row.label


@pytest.mark.parametrize(("code", "who"), KNOWN)
def test_what_a_tenant_has_to_mend_is_explained(code: str, who: str) -> None:
    finding = Finding(code, "The finding's own words.", who, NOW, {})
    if who == "operator":
        assert found(finding) == FOR_TENANTS
    elif who == "tenant" and code != pauses.PAUSED_BY_TENANT:
        assert code in EXPLAINED
        assert found(finding)
    else:
        assert found(finding) in {EXPLAINED.get(code), finding.message}


def test_what_is_said_has_no_word_that_only_an_engineer_knows() -> None:
    for text in [*(row.text for row in ROWS), *(row.label for row in ROWS), *filter(None, EXPLAINED.values())]:
        assert not JARGON.search(text), text
        assert not CODE.search(text), text


@pytest.mark.parametrize(
    ("there", "who", "tone"),
    [
        (Situation("pending", "none"), "tenant", "act"),
        (Situation("dns_check", "none"), "nobody", "wait"),
        (Situation("failed", "none"), "tenant", "bad"),
        (Situation("verified", "validating"), "ca", "wait"),
        (Situation("active", "issued"), "nobody", "good"),
        (Situation("active", "expiring"), "nobody", "good"),
        (Situation("active", "paused", paused=True), "tenant", "idle"),
        (Situation("active", "issued", expired=True), "operator", "bad"),
        (Situation("active", "error", uploaded=True), "nobody", "good"),
        (Situation("active", "error", uploaded=True, ending=True), "tenant", "act"),
        (Situation("moved", "issued"), "tenant", "act"),
    ],
)
def test_who_must_act(there: Situation, who: str, tone: str) -> None:
    said = say(there, HOST)
    assert (said.who, said.tone) == (who, tone)
