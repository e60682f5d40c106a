"""External account bindings as the RFC signs them."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64decode, b64encode
from josepy.jwk import JWKEC

from control.acme.binding import Binding
from control.acme.problems import AcmeMisconfigured

KEY = b"0123456789abcdef0123456789abcdef"
TEXT = b64encode(KEY).decode()
URL = "https://ca.example/new-account"


def test_the_account_key_is_signed_by_the_external_one():
    account = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    made = Binding.from_vault({"key_id": " kid-1\n", "hmac": TEXT}).signed(account, URL)
    assert json.loads(b64decode(made["protected"])) == {"alg": "HS256", "kid": "kid-1", "url": URL}
    public = json.loads(b64decode(made["payload"]))
    assert public == account.public_key().to_partial_json()
    assert "d" not in public, "the account's private key"
    signed = f"{made['protected']}.{made['payload']}".encode()
    assert b64decode(made["signature"]) == hmac.new(KEY, signed, hashlib.sha256).digest()


def test_padding_is_taken_and_nothing_shows_the_key():
    binding = Binding.from_vault({"key_id": "kid-1", "hmac": TEXT + "="})
    assert TEXT not in repr(binding)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"key_id": "kid", "hmac": ""},
        {"key_id": "", "hmac": TEXT},
        {"key_id": "k d", "hmac": TEXT},
        {"key_id": "kid", "hmac": "too-short"},
        {"key_id": "kid", "hmac": f"{TEXT[:-2]}+/"},
        {"key_id": "kid", "hmac": TEXT + "==="},
        {"key_id": "kid", "hmac": "A" * 25},
        {"key_id": "kid", "hmac": KEY},
    ],
)
def test_what_is_no_binding_is_the_operators_to_mend(data):
    with pytest.raises(AcmeMisconfigured) as refused:
        Binding.from_vault(data)
    assert (refused.value.code, refused.value.meaning.who) == ("ca_eab_unreadable", "operator")
