from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest

from control.dns.caa import PERMITTING, Reason
from control.preflight.codes import CAA_REASONS, EXPLANATIONS, Code, Level
from control.preflight.report import PRECEDENCE, Check, Report
from core.domain import Finding

NOW = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)


def check(code: str, who: str, *, blocking: bool = True) -> Check:
    return Check("port80", code, False, blocking, who, f"Sentence of {code}.", "this", ["that"])


def test_what_does_not_block_is_no_finding() -> None:
    report = Report([check("a", "tenant", blocking=False)], ("https://ca.test/",))
    assert report.ok
    assert report.finding(NOW) is None
    assert report.to_json()["ok"]


def test_what_somebody_can_mend_goes_before_what_has_to_be_waited_for() -> None:
    checks = [check("a", "nobody"), check("b", "operator"), check("c", "tenant"), check("d", "tenant")]
    finding = Report(checks, ()).finding(NOW)
    assert finding is not None
    assert (finding.code, finding.who, finding.at) == ("c", "tenant", NOW)
    assert finding.detail == {"check": "port80", "expected": "this", "found": ["that"], "also": ["a", "b", "d"]}
    assert Finding.from_json(finding.to_json()) == finding


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_sentence_and_somebody_who_can_mend_it(code: Code) -> None:
    level, who, sentence = EXPLANATIONS[code]
    assert who in PRECEDENCE
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence.startswith("{")
    assert {field for _, field, _, _ in string.Formatter().parse(sentence) if field} <= {
        *("hostname", "name", "target", "address", "owner", "why", "remedy")
    }
    if level is Level.OK:
        assert who == "nobody"


@pytest.mark.parametrize("reason", sorted(set(Reason) - PERMITTING))
def test_every_reason_of_caa_has_its_words(reason: Reason) -> None:
    why, remedy = CAA_REASONS[reason]
    assert why
    assert remedy.split(" ")[0] in {"add", "remove"}
