"""`api.auth`: good tokens are let in, each bad one is refused for what is wrong with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.auth import Authenticator, Operator, Principal
from api.jwks import KeyFile, KeyUrl
from api.problems import Problem

ISSUER = "https://issuer.example"
AUDIENCE = "nameplate"
TENANT = "6f1c2f1e-4b1b-4a63-9d0c-0c1d7a1e2f30"
NOW = 1_800_000_000
LEEWAY = 30


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def authenticator(key_source: Any, **settings: Any) -> Authenticator:
    return Authenticator(key_source, issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY, clock=lambda: NOW, **settings)


@pytest.fixture
def gate(write_keys: Any, signers: Any) -> Authenticator:
    """Knows a key of each kind."""
    return authenticator(KeyFile(write_keys(*signers.values())))


async def refusal(gate: Authenticator, authorization: str | None) -> Problem:
    with pytest.raises(Problem) as caught:
        await gate.authenticate(authorization)
    return caught.value


async def code_of(gate: Authenticator, token: str) -> str:
    return (await refusal(gate, f"Bearer {token}")).code


# --- good tokens


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_names_the_tenant_and_the_subject(gate: Any, signers: Any, algorithm: str) -> None:
    principal = await gate.authenticate(f"Bearer {signers[algorithm].token()}")
    assert principal == Principal(UUID(TENANT), "user-1")


@pytest.mark.parametrize("scope", ["nameplate:admin", "openid nameplate:admin email", "nameplate:admin nameplate:x"])
@pytest.mark.parametrize("tenant", [TENANT, None, "not a tenant", 7])
async def test_the_scope_makes_an_operator_with_or_without_a_tenant(
    gate: Any, signers: Any, scope: str, tenant: Any
) -> None:
    token = signers["ES256"].token({"scope": scope, "tenant_id": tenant})
    assert await gate.authenticate_operator(f"Bearer {token}") == Operator("user-1")


@pytest.mark.parametrize(
    "scope",
    [
        None,
        "",
        "nameplate",
        "nameplate:admins",
        "Nameplate:Admin",
        "nameplate:admin,x",
        ["nameplate:admin"],
        7,
        {},
        True,
    ],
)
async def test_no_other_scope_makes_an_operator(gate: Any, signers: Any, scope: Any) -> None:
    token = signers["ES256"].token({"scope": scope})
    with pytest.raises(Problem) as refused:
        await gate.authenticate_operator(f"Bearer {token}")
    assert (refused.value.code, refused.value.kind.status) == ("admin_only", 403)
    assert refused.value.headers["www-authenticate"].endswith('error="insufficient_scope", scope="nameplate:admin"')


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW - 600}, "token_expired"),
        ({"aud": "other"}, "token_bad_audience"),
        ({"sub": None}, "token_bad_claim"),
    ],
)
async def test_an_operators_token_is_held_to_the_same_rules(gate: Any, signers: Any, changes: Any, code: str) -> None:
    token = signers["ES256"].token({"scope": "nameplate:admin", **changes})
    with pytest.raises(Problem) as refused:
        await gate.authenticate_operator(f"Bearer {token}")
    assert refused.value.code == code


async def test_an_operator_without_a_tenant_is_no_tenant(gate: Any, signers: Any) -> None:
    assert (
        await code_of(gate, signers["ES256"].token({"scope": "nameplate:admin", "tenant_id": None}))
        == "token_no_tenant"
    )


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
async def test_the_scheme_may_be_spelt_in_any_case(gate: Any, signers: Any, scheme: str) -> None:
    assert (await gate.authenticate(scheme + signers["ES256"].token())).subject == "user-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", AUDIENCE]},
        {"aud": [AUDIENCE]},
        {"aud": [{}, AUDIENCE]},
        {"exp": NOW - LEEWAY + 1},
        {"exp": NOW + 0.5},
        {"exp": 10**400},
        {"nbf": NOW + LEEWAY},
        {"nbf": NOW - 1},
        {"iat": NOW - 5},
        {"tenant_id": TENANT.upper()},
        {"sub": "s" * 255},
        {"sub": "auth0|ü ser"},
        {"scope": ["anything"]},
    ],
)
async def test_what_a_good_token_may_look_like(gate: Any, signers: Any, changes: dict[str, Any]) -> None:
    principal = await gate.authenticate(f"Bearer {signers['ES256'].token(changes)}")
    assert principal.tenant_id == UUID(TENANT)


async def test_the_tenant_claim_has_the_configured_name(write_keys: Any, signers: Any) -> None:
    gate = authenticator(KeyFile(write_keys(signers["ES256"])), tenant_claim="https://nameplate.example/tenant")
    token = signers["ES256"].token({"tenant_id": None, "https://nameplate.example/tenant": TENANT})
    assert (await gate.authenticate(f"Bearer {token}")).tenant_id == UUID(TENANT)
    assert await code_of(gate, signers["ES256"].token()) == "token_no_tenant"


# --- the header line


@pytest.mark.parametrize("authorization", [None, "", "Basic dXNlcjpwYXNz", "Token abc", "DPoP a.b.c", "Bearerx a.b.c"])
async def test_a_request_without_a_bearer_token_is_told_only_the_scheme(gate: Any, authorization: str | None) -> None:
    problem = await refusal(gate, authorization)
    assert problem.code == "token_missing"
    assert problem.headers["www-authenticate"] == 'Bearer realm="nameplate"'


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "abc",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "..",
        "a.b.c, Bearer d.e.f",
        "a.b.c ",
        "a.b.c\n",
        "é.b.c",
        "\u212a.b.c",
        "a=.b.c",
        "a.b.c",
        "a" * 9000 + ".b.c",
        b64(b"[]") + ".e30.c2ln",
        b64(b"null") + ".e30.c2ln",
        b64(b"\xff") + ".e30.c2ln",
        b64(b"[" * 3000) + ".e30.c2ln",
        b64(b'{"alg": "ES256", "kid": 7}') + ".e30.c2ln",
        b64(b'{"alg": "ES256", "kid": ["kid-ES256"]}') + ".e30.c2ln",
        b64(b'{"alg": "ES256", "kid": "kid-ES256"}') + ".e30.c",
        b64(b'{"alg": "ES256", "kid": "kid-ES256"}') + ".e.c2ln",
    ],
)
async def test_what_is_not_a_signed_jwt_is_malformed(gate: Any, token: str) -> None:
    problem = await refusal(gate, f"Bearer {token}")
    assert problem.code == "token_malformed"
    assert problem.kind.status == 401
    assert 'error="invalid_token"' in problem.headers["www-authenticate"]


async def test_a_payload_that_is_no_json_object_is_malformed(gate: Any, signers: Any) -> None:
    signer = signers["EdDSA"]
    for payload in (b"", b"[]", b"\xff\xfe", b'"text"', b"[" * 3000):
        assert await code_of(gate, signer.signed({"alg": "EdDSA", "kid": signer.kid}, payload)) == "token_malformed"


async def test_a_token_of_more_than_eight_kilobytes_is_refused_unread(gate: Any, signers: Any) -> None:
    assert (await gate.authenticate(f"Bearer {signers['ES256'].token({'x': 'x' * 5000})}")).subject == "user-1"
    assert await code_of(gate, signers["ES256"].token({"x": "x" * 6000})) == "token_malformed"


# --- algorithms


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES256K", "rs256", 7,
     None, ["RS256"], {"RS256": 1}],
)  # fmt: skip
@pytest.mark.parametrize("signature", ["", "c2ln"])
async def test_any_other_algorithm_is_refused_before_anything_else(gate: Any, algorithm: Any, signature: str) -> None:
    header = b64(json.dumps({"alg": algorithm, "kid": "made-up", "crit": ["x"]}).encode())
    assert await code_of(gate, f"{header}.{b64(b'not json')}.{signature}") == "token_algorithm_refused"


async def test_a_header_without_an_algorithm_is_refused(gate: Any) -> None:
    assert await code_of(gate, f"{b64(b'{}')}.e30.c2ln") == "token_algorithm_refused"


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_hs256_signed_with_the_rsa_public_key_is_refused(gate: Any, signers: Any, form: str) -> None:
    public = signers["RS256"].private.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(signers["RS256"].jwk()).encode(),
    }[form]
    good = signers["RS256"].token()
    header = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "kid-RS256"}).encode())
    signing_input = f"{header}.{good.split('.')[1]}"
    signature = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    assert await code_of(gate, f"{signing_input}.{b64(signature)}") == "token_algorithm_refused"


@pytest.mark.parametrize("signer", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("claimed", ["RS256", "ES256", "EdDSA"])
async def test_a_key_is_used_with_its_own_algorithm_only(gate: Any, signers: Any, signer: str, claimed: str) -> None:
    if signer == claimed:
        assert await gate.authenticate(f"Bearer {signers[signer].token()}")
    else:
        assert await code_of(gate, signers[signer].token(alg=claimed)) == "token_algorithm_refused"


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": False}, {"crit": []}, {"b64": False}, {"b64": True}],
)
async def test_critical_extensions_are_refused(gate: Any, signers: Any, header: dict[str, Any]) -> None:
    assert await code_of(gate, signers["ES256"].token(**header)) == "token_malformed"


# --- keys and signatures


async def test_a_key_in_the_header_is_not_used(gate: Any, make_signer: Any, issuer: Any) -> None:
    attacker = make_signer("ES256", "kid-ES256")
    issuer.publish(attacker)
    brought = {"jwk": attacker.jwk(), "jku": issuer.url, "x5u": issuer.url, "x5c": ["MIIB"]}
    assert await code_of(gate, attacker.token(**brought)) == "token_bad_signature"
    assert await code_of(gate, attacker.token(**brought, kid="attacker")) == "token_unknown_key"
    assert await code_of(gate, attacker.token(**brought, kid=None)) == "token_bad_signature"
    assert issuer.requests == 0


async def test_a_good_token_with_such_a_header_is_still_good(gate: Any, signers: Any) -> None:
    token = signers["ES256"].token(jku="https://attacker.example/jwks.json")
    assert (await gate.authenticate(f"Bearer {token}")).subject == "user-1"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_changed_token_has_a_bad_signature(gate: Any, signers: Any, algorithm: str) -> None:
    header, payload, signature = signers[algorithm].token().split(".")
    _, other_payload, other_signature = signers[algorithm].token({"sub": "admin"}).split(".")
    assert await code_of(gate, f"{header}.{other_payload}.{signature}") == "token_bad_signature"
    assert await code_of(gate, f"{header}.{payload}.{other_signature}") == "token_bad_signature"
    assert await code_of(gate, f"{header}.{payload}.") == "token_bad_signature"
    assert await code_of(gate, f"{header}.{payload}.{signature[:8]}") == "token_bad_signature"
    assert await code_of(gate, f"{header}.{payload}.{b64(bytes(64))}") == "token_bad_signature"


async def test_a_token_without_kid_is_checked_with_the_only_key(write_keys: Any, signers: Any) -> None:
    gate = authenticator(KeyFile(write_keys(signers["RS256"])))
    assert (await gate.authenticate(f"Bearer {signers['RS256'].token(kid=None)}")).subject == "user-1"
    assert await code_of(gate, signers["ES256"].token(kid=None)) == "token_unknown_key"


async def test_a_token_without_kid_is_tried_with_each_key_of_its_algorithm(
    write_keys: Any, signers: Any, make_signer: Any
) -> None:
    second, third = make_signer("ES256", "second"), make_signer("ES256", None)
    gate = authenticator(KeyFile(write_keys(*signers.values(), second, third)))
    for signer in (*signers.values(), second, third):
        assert (await gate.authenticate(f"Bearer {signer.token(kid=None)}")).subject == "user-1"
    assert await code_of(gate, make_signer("ES256", None).token()) == "token_bad_signature"


async def test_a_token_with_kid_is_not_tried_with_other_keys(gate: Any, signers: Any) -> None:
    assert await code_of(gate, signers["ES256"].token(kid="kid-other")) == "token_unknown_key"


async def test_a_new_key_of_the_issuer_is_fetched_when_a_token_needs_it(
    issuer: Any, signers: Any, make_signer: Any, clock: Any
) -> None:
    issuer.publish(signers["ES256"])
    source = KeyUrl(issuer.url, clock=clock)
    gate = authenticator(source)
    try:
        await gate.authenticate(f"Bearer {signers['ES256'].token()}")
        issuer.publish(signers["EdDSA"])
        # Too soon after the last fetch; then it is due.
        assert await code_of(gate, signers["EdDSA"].token()) == "token_unknown_key"
        clock.now += 11
        assert (await gate.authenticate(f"Bearer {signers['EdDSA'].token()}")).subject == "user-1"
        assert issuer.requests == 2
        assert await code_of(gate, signers["ES256"].token()) == "token_unknown_key"

        clock.now += 11
        rotated = make_signer("EdDSA", None)
        issuer.publish(rotated)
        assert (await gate.authenticate(f"Bearer {rotated.token()}")).subject == "user-1"
        assert issuer.requests == 3

        # Without any key ids a bad signature is the only sign of a rotation.
        clock.now += 11
        rotated_again = make_signer("EdDSA", None)
        issuer.publish(rotated_again)
        assert (await gate.authenticate(f"Bearer {rotated_again.token()}")).subject == "user-1"
        assert await code_of(gate, rotated.token()) == "token_bad_signature"
        assert issuer.requests == 4
    finally:
        await source.close()


async def test_tokens_with_made_up_key_ids_do_not_reach_the_issuer(issuer: Any, signers: Any, clock: Any) -> None:
    issuer.publish(signers["ES256"])
    source = KeyUrl(issuer.url, clock=clock)
    gate = authenticator(source)
    try:
        for number in range(100):
            assert await code_of(gate, signers["ES256"].token(kid=f"made-up-{number}")) == "token_unknown_key"
        assert issuer.requests == 1
        clock.now += 11
        # A known kid settles it: a bad signature alone is no reason to ask.
        header, payload, _ = signers["ES256"].token().split(".")
        assert await code_of(gate, f"{header}.{payload}.{b64(bytes(64))}") == "token_bad_signature"
        assert issuer.requests == 1
    finally:
        await source.close()


async def test_without_any_keys_the_answer_is_503_with_retry_after(ports: Any, signers: Any) -> None:
    (port,) = ports(1)
    source = KeyUrl(f"http://127.0.0.1:{port}/jwks.json")
    problem = await refusal(authenticator(source), f"Bearer {signers['ES256'].token()}")
    await source.close()
    assert (problem.code, problem.kind.status) == ("keys_unavailable", 503)
    assert int(problem.headers["retry-after"]) > 0
    assert "www-authenticate" not in problem.headers


async def test_old_keys_let_tokens_in_while_the_issuer_is_away(issuer: Any, signers: Any, clock: Any) -> None:
    issuer.publish(signers["ES256"])
    source = KeyUrl(issuer.url, clock=clock)
    gate = authenticator(source)
    try:
        await gate.authenticate(f"Bearer {signers['ES256'].token()}")
        await issuer.stop()
        clock.now += 86_400
        assert (await gate.authenticate(f"Bearer {signers['ES256'].token()}")).subject == "user-1"
    finally:
        await source.close()


# --- claims


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
