"""`api.auth`: which keys a token is held against, and what becomes of one that none of them made."""

from __future__ import annotations

from typing import Any

import pytest
from scenes.tokens import authenticator, b64, code_of, refusal

from api.jwks import KeyFile, KeyUrl


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
