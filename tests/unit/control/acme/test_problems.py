"""What a CA's problem means here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from control.acme.account import DEACTIVATED, EAB_REFUSED
from control.acme.problems import (
    BLANK,
    BUSY,
    MAX_DETAIL,
    NAME_PROBLEMS,
    REQUEST_PROBLEMS,
    SERVER_TROUBLE,
    UNKNOWN_REQUEST,
    UNKNOWN_VALIDATION,
    URN,
    VALIDATION_PROBLEMS,
    AcmeRefused,
    Problem,
    explain,
)

# RFC 8555 section 6.7, all but `compound`, whose meaning is in its subproblems.
RFC_8555 = """accountDoesNotExist alreadyRevoked badCSR badNonce badPublicKey badRevocationReason badSignatureAlgorithm
    caa connection dns externalAccountRequired incorrectResponse invalidContact malformed orderNotReady rateLimited
    rejectedIdentifier serverInternal tls unauthorized unsupportedContact unsupportedIdentifier userActionRequired"""
THUMBPRINT = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
MEANINGS = [
    *(one for table in (NAME_PROBLEMS, VALIDATION_PROBLEMS, REQUEST_PROBLEMS) for one in table.values()),
    *(UNKNOWN_VALIDATION, UNKNOWN_REQUEST, SERVER_TROUBLE, BUSY, EAB_REFUSED, DEACTIVATED),
]
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"


@pytest.mark.parametrize("name", RFC_8555.split())
def test_every_type_of_rfc_8555_has_a_meaning_of_its_own(name):
    assert name in {**NAME_PROBLEMS, **REQUEST_PROBLEMS, **VALIDATION_PROBLEMS}


@pytest.mark.parametrize(
    ("name", "code", "who", "counts"),
    [
        ("caa", "caa_forbids", "tenant", True),
        ("connection", "challenge_unreachable", "tenant", True),
        ("dns", "challenge_dns_failed", "tenant", True),
        ("incorrectResponse", "challenge_wrong_answer", "tenant", True),
        ("unauthorized", "challenge_wrong_answer", "tenant", True),
        ("rejectedIdentifier", "name_rejected", "tenant", True),
        ("rateLimited", "ca_rate_limited", "ca", False),
        ("serverInternal", "ca_unavailable", "ca", False),
    ],
)
def test_a_failed_validation_says_who_has_to_act(name, code, who, counts):
    meaning = explain(Problem(URN + name), validating=True)
    assert (meaning.code, meaning.who, meaning.counts) == (code, who, counts)


@pytest.mark.parametrize(
    ("name", "code", "who"),
    [
        ("unauthorized", "ca_account_refused", "operator"),
        ("externalAccountRequired", "ca_eab_required", "operator"),
        ("userActionRequired", "ca_terms_changed", "operator"),
        ("invalidContact", "ca_account_refused", "operator"),
        ("invalidProfile", "ca_profile_unknown", "operator"),
        ("alreadyReplaced", "ca_already_replaced", "ca"),
        ("accountDoesNotExist", "ca_account_unknown", "ca"),
        ("malformed", "ca_request_refused", "operator"),
        ("badCSR", "ca_request_refused", "operator"),
        ("badNonce", "ca_unavailable", "ca"),
        ("rateLimited", "ca_rate_limited", "ca"),
    ],
)
def test_a_refused_request_of_the_platforms_account_is_not_counted_for_the_domain(name, code, who):
    meaning = explain(Problem(URN + name))
    assert (meaning.code, meaning.who, meaning.counts) == (code, who, False)


def test_a_request_refused_for_the_name_itself_is_counted():
    assert explain(Problem(URN + "rejectedIdentifier", status=400)).counts


def test_the_reason_of_a_compound_problem_is_in_its_subproblems():
    problem = Problem(URN + "compound", subproblems=(Problem(URN + "nonsense"), Problem(URN + "caa")))
    assert explain(problem).code == "caa_forbids"


def test_an_unknown_type_counts_when_it_concerns_the_name_and_not_otherwise():
    assert explain(Problem("urn:example:new"), validating=True).counts
    assert not explain(Problem("urn:example:new", status=400)).counts


def test_an_unknown_type_with_a_status_of_5xx_is_trouble_of_the_ca():
    assert explain(Problem(BLANK, status=502)).who == "ca"


def test_a_key_authorization_in_the_cas_words_is_cut_out():
    text = f'Expected "{TOKEN}.{THUMBPRINT}" (got "nothing")'
    problem = Problem.from_json({"type": URN + "unauthorized", "detail": text})
    assert THUMBPRINT not in problem.detail
    assert problem.detail == 'Expected "[key authorization]" (got "nothing")'


def test_a_hostname_in_the_cas_words_is_left_alone():
    text = "DNS problem: NXDOMAIN looking up A for some-quite-long-label.shop.mybrand.example"
    assert Problem.from_json({"detail": text}).detail == text


def test_control_characters_become_spaces_and_long_texts_are_cut():
    problem = Problem.from_json({"detail": "a\r\n\x00b" + "x" * 1000})
    assert problem.detail.startswith("a b")
    assert len(problem.detail) == MAX_DETAIL


def test_it_survives_being_written_down():
    problem = Problem(URN + "compound", "both", 403, (Problem(URN + "caa", "no", 403),))
    assert Problem.from_json(problem.to_json()) == problem


def test_a_refusal_carries_the_code_and_the_sentence_of_its_meaning():
    refused = AcmeRefused(Problem(URN + "rateLimited", "too many", 429), timedelta(hours=1))
    assert (refused.code, refused.retry_after) == ("ca_rate_limited", timedelta(hours=1))
    assert "too many" not in str(refused)


def test_what_the_name_is_refused_for_is_found_below_a_malformed_request():
    """The example of RFC 8555 section 6.7.1."""
    below = (Problem(URN + "malformed"), Problem(URN + "rejectedIdentifier"))
    assert explain(Problem(URN + "malformed", status=403, subproblems=below)).code == "name_rejected"
    assert explain(Problem(URN + "compound", status=400, subproblems=below[:1])).code == "ca_request_refused"


def test_a_busy_ca_has_no_limit_reached_whatever_it_calls_it():
    assert explain(Problem(URN + "rateLimited", status=503)) == BUSY
    assert explain(Problem(URN + "rateLimited", status=429)).code == "ca_rate_limited"
    assert AcmeRefused(Problem(URN + "rateLimited", status=503)).meaning.outage


def test_no_tenant_is_to_mend_what_does_not_count_and_no_mistake_of_one_is_an_outage():
    for meaning in MEANINGS:
        assert meaning.counts == (meaning.who == "tenant"), meaning
        assert not (meaning.counts and meaning.outage), meaning


def test_the_documents_know_every_code():
    text = (Path(__file__).parents[4] / "docs" / "cas.md").read_text()
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")
    ]
    told = {code: (who, counts == "yes") for code, who, counts, _ in rows}
    known = {meaning.code: (meaning.who, meaning.counts) for meaning in MEANINGS}
    assert told == known | dict.fromkeys(("ca_eab_missing", "ca_eab_unreadable"), ("operator", False))
