from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from control.outbox.signing import SigningSecrets, headers, is_secret, new_secret


@given(st.text(max_size=200).map(str.encode), st.integers(-12, 12))
def test_every_key_in_force_verifies_and_no_other(body, zone) -> None:
    now = datetime.now(timezone(timedelta(hours=zone)))
    new, old = new_secret(), new_secret()
    signed = dict(headers("msg_1", body, [new, old], now))
    for secret in (new, old):
        Webhook(secret).verify(body, signed, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, signed, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body + b"x", signed, json_parse=False)


def test_the_old_secret_signs_until_its_time_is_up() -> None:
    now = datetime.now(UTC)
    both = SigningSecrets("new", "old", now + timedelta(hours=1))
    assert both.in_force(now) == ("new", "old")
    assert both.in_force(now + timedelta(hours=1)) == ("new",)
    assert SigningSecrets.from_data(both.to_data()) == both
    assert SigningSecrets.from_data({"secret": "by hand"}).in_force(now) == ("by hand",)


def test_secrets_are_of_the_schemes_form_and_never_shown() -> None:
    secret = new_secret()
    assert is_secret(secret)
    assert not is_secret("whsec_!")
    assert not is_secret(secret.removeprefix("whsec_"))
    assert secret not in repr(SigningSecrets(secret, secret))
