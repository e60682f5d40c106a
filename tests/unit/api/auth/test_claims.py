"""`api.auth`: each claim that is missing or wrong has its code, and nothing of a token is shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from scenes.tokens import AUDIENCE, ISSUER, LEEWAY, NOW, TENANT, code_of, refusal


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW - LEEWAY}, "token_expired"),
        ({"exp": 0}, "token_expired"),
        ({"exp": -(10**400)}, "token_expired"),
        ({"exp": None}, "token_bad_claim"),
        ({"exp": str(NOW + 600)}, "token_bad_claim"),
        ({"exp": True}, "token_bad_claim"),
        ({"exp": [NOW + 600]}, "token_bad_claim"),
        ({"exp": float("inf")}, "token_bad_claim"),
        ({"exp": float("nan")}, "token_bad_claim"),
        ({"nbf": NOW + LEEWAY + 1}, "token_not_yet_valid"),
        ({"nbf": "soon"}, "token_bad_claim"),
        ({"nbf": float("nan")}, "token_bad_claim"),
        ({"iss": None}, "token_bad_issuer"),
        ({"iss": "https://issuer.example/"}, "token_bad_issuer"),
        ({"iss": "https://other.example"}, "token_bad_issuer"),
        ({"iss": [ISSUER]}, "token_bad_issuer"),
        ({"aud": None}, "token_bad_audience"),
        ({"aud": "other"}, "token_bad_audience"),
        ({"aud": ["other", "another"]}, "token_bad_audience"),
        ({"aud": []}, "token_bad_audience"),
        ({"aud": {AUDIENCE: 1}}, "token_bad_audience"),
        ({"aud": AUDIENCE + "x"}, "token_bad_audience"),
        ({"sub": None}, "token_bad_claim"),
        ({"sub": ""}, "token_bad_claim"),
        ({"sub": 7}, "token_bad_claim"),
        ({"sub": "s" * 256}, "token_bad_claim"),
        ({"sub": "a\nb"}, "token_bad_claim"),
        ({"sub": "a\x00b"}, "token_bad_claim"),
        ({"sub": "\ud800"}, "token_bad_claim"),
        ({"tenant_id": None}, "token_no_tenant"),
        ({"tenant_id": ""}, "token_no_tenant"),
        ({"tenant_id": "tenant-123"}, "token_no_tenant"),
        ({"tenant_id": str(UUID(int=0))}, "token_no_tenant"),
        ({"tenant_id": 7}, "token_no_tenant"),
        ({"tenant_id": [TENANT]}, "token_no_tenant"),
        ({"tenant_id": "{" + TENANT + "}"}, "token_no_tenant"),
        ({"tenant_id": "urn:uuid:" + TENANT}, "token_no_tenant"),
        ({"tenant_id": TENANT.replace("-", "")}, "token_no_tenant"),
        ({"tenant_id": TENANT + "\n"}, "token_no_tenant"),
        ({"tenant_id": TENANT.replace("6", "٦")}, "token_no_tenant"),
    ],
)
async def test_a_wrong_claim_has_its_code(gate: Any, signers: Any, changes: dict[str, Any], code: str) -> None:
    problem = await refusal(gate, f"Bearer {signers['ES256'].token(changes)}")
    assert problem.code == code
    assert problem.kind.status == 401


async def test_the_claims_of_an_unsigned_token_say_nothing(gate: Any, signers: Any, make_signer: Any) -> None:
    """Whoever cannot sign cannot learn what a token must contain."""
    attacker = make_signer("ES256", "kid-ES256")
    for changes in ({"exp": 0}, {"iss": "x"}, {"aud": "x"}, {"tenant_id": "x"}):
        assert await code_of(gate, attacker.token(changes)) == "token_bad_signature"


async def test_nothing_of_a_token_is_logged_or_answered(
    gate: Any, signers: Any, capfd: pytest.CaptureFixture[str], logged: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    signer = signers["ES256"]
    marks = {"sub": "marked-subject", "iss": "marked-issuer"}
    for token in (signer.token(marks), signer.token(kid="marked-kid"), signer.token(alg="HS256"), "marked.token.here"):
        problem = await refusal(gate, f"Bearer {token}")
        shown = f"{problem.document()} {problem.headers} {problem!r} {logged} {caplog.text} {capfd.readouterr()}"
        assert "marked" not in shown
        assert not [part for part in token.split(".") if len(part) > 8 and part in shown]
