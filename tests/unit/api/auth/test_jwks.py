"""`api.jwks`: which keys are taken, and how they are kept fresh; against a real HTTP server and real files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api import jwks
from api.jwks import KeyFile, KeySetError, KeysUnavailable, KeyUrl, parse_key_set


def document(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def kids(keys: Any) -> list[str | None]:
    return [key.kid for key in keys]


# --- the set


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("members", [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"x5t": "ignored"}])
def test_a_public_signature_key_is_taken(signers: Any, algorithm: str, members: dict[str, Any]) -> None:
    entry = signers[algorithm].jwk(**members)
    for taken in (entry, entry | {"alg": algorithm}):
        (key,) = parse_key_set(document(taken))
        assert (key.kid, key.algorithm) == (f"kid-{algorithm}", algorithm)
        assert key.key == signers[algorithm].private.public_key()


LEFT_OUT: dict[str, Callable[[Any], Any]] = {
    "an RSA key of 1024 bits": lambda _: RSAAlgorithm.to_jwk(
        rsa.generate_private_key(65537, 1024).public_key(), as_dict=True
    ),
    "P-384": lambda _: ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True),
    "Ed448": lambda _: OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
    "X25519": lambda _: {
        "kty": "OKP",
        "crv": "X25519",
        "x": base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode(),
    },
    "a symmetric key": lambda _: {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
    "a private RSA key": lambda s: RSAAlgorithm.to_jwk(s["RS256"].private, as_dict=True),
    "a private Ed25519 key": lambda s: OKPAlgorithm.to_jwk(s["EdDSA"].private, as_dict=True),
    "a key for encryption": lambda s: s["RS256"].jwk(use="enc"),
    "a key that only signs": lambda s: s["RS256"].jwk(key_ops=["sign"]),
    "key_ops that is no array": lambda s: s["RS256"].jwk(key_ops=7),
    "a key for RS512": lambda s: s["RS256"].jwk(alg="RS512"),
    "a key for PS256": lambda s: s["RS256"].jwk(alg="PS256"),
    "a key for HS256": lambda s: s["RS256"].jwk(alg="HS256"),
    "an EC key for RS256": lambda s: s["ES256"].jwk(alg="RS256"),
    "a kid that is a number": lambda s: s["RS256"].jwk(kid=7),
    "no modulus": lambda s: {"kty": "RSA", "e": s["RS256"].jwk()["e"]},
    "an even exponent": lambda s: s["RS256"].jwk(e="Ag"),
    "a modulus that is not base64url": lambda s: s["RS256"].jwk(n="a"),
    "a point that is not on the curve": lambda s: s["ES256"].jwk(x=s["ES256"].jwk()["y"]),
    "a short point": lambda s: s["ES256"].jwk(x="AQ"),
    "a short Ed25519 key": lambda s: s["EdDSA"].jwk(x="AQ"),
    "no type": lambda s: {name: value for name, value in s["RS256"].jwk().items() if name != "kty"},
    "a type that is an array": lambda s: s["RS256"].jwk(kty=["RSA"]),
    "a curve that is an object": lambda s: s["ES256"].jwk(crv={}),
    "a string": lambda _: "key",
    "null": lambda _: None,
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_an_unfit_key_is_left_out_and_the_others_are_taken(signers: Any, what: str, logged: list[Any]) -> None:
    unfit = LEFT_OUT[what](signers)
    with pytest.raises(KeySetError):
        parse_key_set(document(unfit))
    good = signers["ES256"].jwk(kid="good")
    assert kids(parse_key_set(document(unfit, good))) == ["good"]
    assert [entry["event"] for entry in logged] == ["jwks_key_left_out"] * 2
    # Not even a key that should not have been there gets into the log.
    values = {value for value in unfit.values() if isinstance(value, str)} if isinstance(unfit, dict) else set()
    assert not [value for value in values if len(value) > 20 and value in str(logged)]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'"keys"',
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [',
        b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(KeySetError):
        parse_key_set(text)


# --- the file


async def test_a_key_file_is_read_again_when_it_has_changed(signers: Any, write_keys: Any) -> None:
    source = KeyFile(write_keys(signers["RS256"]))
    assert kids(await source.keys()) == ["kid-RS256"]
    write_keys(signers["ES256"], signers["EdDSA"])
    assert kids(await source.keys()) == ["kid-ES256", "kid-EdDSA"]


async def test_an_unchanged_key_file_is_not_parsed_again(signers: Any, write_keys: Any) -> None:
    source = KeyFile(write_keys(signers["RS256"]))
    assert await source.keys() is await source.newer()


async def test_a_broken_new_version_of_the_file_is_not_used(signers: Any, write_keys: Any, logged: list[Any]) -> None:
    path = write_keys(signers["RS256"])
    source = KeyFile(path)
    await source.keys()
    path.write_bytes(b"{")
    assert kids(await source.keys()) == ["kid-RS256"]
    path.unlink()
    assert kids(await source.keys()) == ["kid-RS256"]
    assert kids(await source.keys()) == ["kid-RS256"]
    assert [entry["event"] for entry in logged] == ["jwks_file_not_used"] * 2
    write_keys(signers["ES256"])
    assert kids(await source.keys()) == ["kid-ES256"]


async def test_a_key_file_that_is_missing_at_first_is_found_later(signers: Any, write_keys: Any) -> None:
    path = write_keys(signers["RS256"])
    content = path.read_bytes()
    path.unlink()
    source = KeyFile(path)
    with pytest.raises(KeysUnavailable):
        await source.keys()
    path.write_bytes(content)
    assert kids(await source.keys()) == ["kid-RS256"]


# --- the URL


@pytest.fixture
async def source(issuer: Any, clock: Any) -> Any:
    source = KeyUrl(issuer.url, clock=clock)
    yield source
    await source.close()


async def test_many_requests_share_one_fetch(issuer: Any, source: KeyUrl, signers: Any, eventually: Any) -> None:
    issuer.publish(*signers.values())
    issuer.open.clear()
    waiting = [asyncio.create_task(source.keys()) for _ in range(50)]
    await eventually(lambda: issuer.requests == 1)
    issuer.open.set()
    results = await asyncio.gather(*waiting)
    assert all(kids(keys) == ["kid-RS256", "kid-ES256", "kid-EdDSA"] for keys in results)
    await source.keys()
    assert issuer.requests == 1


async def test_a_request_that_gives_up_does_not_end_the_fetch_of_the_others(
    issuer: Any, source: KeyUrl, signers: Any, eventually: Any
) -> None:
    issuer.publish(signers["ES256"])
    issuer.open.clear()
    first = asyncio.create_task(source.keys())
    second = asyncio.create_task(source.keys())
    await eventually(lambda: issuer.requests == 1)
    first.cancel()
    issuer.open.set()
    assert kids(await second) == ["kid-ES256"]
    assert first.cancelled()
    assert issuer.requests == 1


async def test_made_up_key_ids_reach_the_issuer_once_in_ten_seconds(
    issuer: Any, source: KeyUrl, signers: Any, clock: Any
) -> None:
    issuer.publish(signers["ES256"])
    await source.keys()
    for _ in range(200):
        await source.newer()
    assert issuer.requests == 1
    clock.now += 9.9
    await source.newer()
    assert issuer.requests == 1
    clock.now += 0.2
    for _ in range(200):
        await source.newer()
    assert issuer.requests == 2


async def test_rotated_keys_are_found_by_another_look(issuer: Any, source: KeyUrl, signers: Any, clock: Any) -> None:
    issuer.publish(signers["ES256"])
    assert kids(await source.keys()) == ["kid-ES256"]
    issuer.publish(signers["EdDSA"])
    assert kids(await source.keys()) == ["kid-ES256"]
    clock.now += 11
    assert kids(await source.newer()) == ["kid-EdDSA"]
    assert kids(await source.keys()) == ["kid-EdDSA"]


async def test_a_withdrawn_key_is_gone_after_the_maximum_age(
    issuer: Any, source: KeyUrl, signers: Any, clock: Any
) -> None:
    issuer.publish(signers["ES256"], signers["RS256"])
    await source.keys()
    issuer.publish(signers["RS256"])
    clock.now += jwks.MAX_AGE + 1
    assert kids(await source.keys()) == ["kid-RS256"]
    assert issuer.requests == 2


async def test_old_keys_stay_in_use_while_the_issuer_is_away(
    issuer: Any, source: KeyUrl, signers: Any, clock: Any, logged: list[Any], eventually: Any
) -> None:
    issuer.publish(signers["ES256"])
    await source.keys()
    await issuer.stop()
    clock.now += jwks.MAX_AGE + 1
    for _ in range(20):
        assert kids(await source.keys()) == ["kid-ES256"]
        assert kids(await source.newer()) == ["kid-ES256"]
    assert [entry["event"] for entry in logged] == ["jwks_not_fetched"]

    issuer.publish(signers["EdDSA"])
    await issuer.start()
    clock.now += 11
    await source.keys()

    async def new_keys() -> bool:
        return kids(await source.keys()) == ["kid-EdDSA"]

    await eventually(new_keys)

    # Recovered: from now on an expired set is waited for again.
    issuer.publish(signers["RS256"])
    clock.now += jwks.MAX_AGE + 1
    assert kids(await source.keys()) == ["kid-RS256"]


async def test_requests_do_not_wait_for_an_issuer_that_has_stopped_answering(
    issuer: Any, source: KeyUrl, signers: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    issuer.publish(signers["ES256"])
    await source.keys()
    issuer.open.clear()
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT", 0.2)
    clock.now += jwks.MAX_AGE + 1
    assert kids(await source.keys()) == ["kid-ES256"]
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT", 60.0)
    clock.now += 11
    before = issuer.requests
    async with asyncio.timeout(5):
        for _ in range(20):
            assert kids(await source.keys()) == ["kid-ES256"]
    await eventually(lambda: issuer.requests == before + 1)


async def test_without_any_keys_the_next_try_comes_after_a_second(
    issuer: Any, source: KeyUrl, signers: Any, clock: Any
) -> None:
    issuer.publish(signers["ES256"])
    await issuer.stop()
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await source.keys()
    await issuer.start()
    with pytest.raises(KeysUnavailable):
        await source.keys()
    assert issuer.requests == 0
    clock.now += 1.1
    assert kids(await source.keys()) == ["kid-ES256"]


@pytest.mark.parametrize(
    ("status", "prefix", "headers"),
    [
        (500, b"", {}),
        (404, b"", {}),
        (206, b"", {}),
        (302, b"", {"location": "/jwks.json?again"}),
        (200, b"<html>", {}),
        (200, b" " * jwks.MAX_SIZE, {}),
    ],
)
async def test_a_bad_answer_is_not_taken_though_it_has_good_keys(
    issuer: Any, source: KeyUrl, signers: Any, status: int, prefix: bytes, headers: dict[str, str], logged: list[Any]
) -> None:
    issuer.publish(signers["ES256"])
    issuer.status, issuer.document, issuer.headers = status, prefix + issuer.document, headers
    with pytest.raises(KeysUnavailable):
        await source.keys()
    assert issuer.requests == 1
    assert [entry["event"] for entry in logged] == ["jwks_not_fetched"]


async def test_a_bad_answer_does_not_replace_good_keys(issuer: Any, source: KeyUrl, signers: Any, clock: Any) -> None:
    issuer.publish(signers["ES256"])
    await source.keys()
    issuer.document = b'{"keys": []}'
    clock.now += 11
    assert kids(await source.newer()) == ["kid-ES256"]
    assert issuer.requests == 2


async def test_closing_ends_a_fetch_that_is_under_way(issuer: Any, clock: Any, eventually: Any) -> None:
    source = KeyUrl(issuer.url, clock=clock)
    issuer.open.clear()
    waiting = asyncio.create_task(source.keys())
    await eventually(lambda: issuer.requests == 1)
    await source.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    "url", ["", "jwks.json", "file:///etc/jwks.json", "ftp://issuer.example/", "https://", "http://[::1"]
)
def test_a_key_url_must_be_an_absolute_http_url(url: str) -> None:
    with pytest.raises(ValueError, match="JWKS URL"):
        KeyUrl(url)


async def test_the_password_of_a_key_url_is_not_logged(clock: Any, ports: Any, logged: list[Any]) -> None:
    (port,) = ports(1)
    source = KeyUrl(f"http://user:hunter2@127.0.0.1:{port}/jwks.json", clock=clock)
    with pytest.raises(KeysUnavailable):
        await source.keys()
    await source.close()
    assert logged
    assert "hunter2" not in str(logged)
