"""`api.auth` and `api.jwks` on arbitrary input: an answer of theirs, never a stray exception."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from api.auth import Authenticator
from api.jwks import KeyFile, KeySetError, parse_key_set
from api.problems import Problem


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


PRIVATE = ec.generate_private_key(ec.SECP256R1())
GOOD_KEY = ECAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True) | {"kid": "k"}

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)
names = ["exp", "nbf", "iss", "aud", "sub", "tenant_id"]
values = st.one_of(JSON, st.sampled_from([2**40, "issuer", "audience", "6f1c2f1e-4b1b-4a63-9d0c-0c1d7a1e2f30"]))
header = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.one_of(st.sampled_from(["ES256", "RS256", "EdDSA", "none", "HS256"]), JSON),
        "kid": st.one_of(st.just("k"), JSON),
        "crit": JSON,
        "typ": JSON,
    },
)
part = st.one_of(st.text(), st.binary().map(b64), JSON.map(lambda value: b64(json.dumps(value).encode())))
shaped = st.builds("{}.{}.{}".format, st.one_of(part, header.map(lambda h: b64(json.dumps(h).encode()))), part, part)
authorization = st.one_of(
    st.none(), st.text(), st.builds("{} {}".format, st.sampled_from(["Bearer", "bearer"]), shaped)
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Authenticator:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps({"keys": [GOOD_KEY]}))
    return Authenticator(KeyFile(path), issuer="issuer", audience="audience")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@given(authorization)
def test_any_header_line_is_refused_by_a_problem(gate: Authenticator, line: str | None) -> None:
    with pytest.raises(Problem) as refusal:
        asyncio.run(gate.authenticate(line))
    assert refusal.value.kind.status == 401


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(names), values)))
def test_any_signed_payload_gives_a_principal_or_a_problem(gate: Authenticator, payload: object) -> None:
    signing_input = f"{b64(json.dumps({'alg': 'ES256', 'kid': 'k'}).encode())}.{b64(json.dumps(payload).encode())}"
    signature = gate._jws.get_algorithm_by_name("ES256").sign(signing_input.encode(), PRIVATE)
    try:
        principal = asyncio.run(gate.authenticate(f"Bearer {signing_input}.{b64(signature)}"))
    except Problem as refusal:
        assert refusal.kind.status == 401
        assert refusal.code not in ("token_bad_signature", "token_unknown_key", "token_algorithm_refused")
    else:
        assert isinstance(payload, dict)
        assert str(principal.tenant_id) == payload["tenant_id"].lower()
        assert principal.subject == payload["sub"]


member = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "use", "alg", "kid", "key_ops"])
likely_value = st.sampled_from(
    ["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "enc", "AQAB", GOOD_KEY["x"], ["verify"]]
)
likely_key = st.one_of(
    st.dictionaries(member, st.one_of(likely_value, JSON), max_size=8),
    st.dictionaries(member, st.one_of(likely_value, JSON), max_size=2).map(lambda changes: GOOD_KEY | changes),
)
document = st.one_of(
    st.binary(),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(st.one_of(likely_key, JSON), max_size=4).map(lambda keys: json.dumps({"keys": keys}).encode()),
)


@given(document)
def test_any_document_gives_keys_or_a_key_set_error(text: bytes) -> None:
    try:
        keys = parse_key_set(text)
    except KeySetError:
        return
    assert keys
    assert {key.algorithm for key in keys} <= {"RS256", "ES256", "EdDSA"}
