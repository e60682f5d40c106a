"""`api.auth`: good tokens are let in, and what is no token of ours is refused unread."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from scenes.tokens import AUDIENCE, LEEWAY, NOW, TENANT, authenticator, b64, code_of, refusal

from api.auth import Operator, Principal
from api.jwks import KeyFile
from api.problems import Problem


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
