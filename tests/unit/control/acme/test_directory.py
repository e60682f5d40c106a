"""What a CA says of itself."""

from __future__ import annotations

import pytest

from control.acme.directory import Directory, Meta
from control.acme.order import NotAcme

# https://acme-v02.api.letsencrypt.org/directory
LETSENCRYPT = {
    "keyChange": "https://acme-v02.api.letsencrypt.org/acme/key-change",
    "meta": {
        "caaIdentities": ["LetsEncrypt.org."],
        "profiles": {"classic": "https://letsencrypt.org/docs/profiles#classic", "tlsserver": ""},
        "termsOfService": "https://letsencrypt.org/documents/LE-SA-v1.5-February-24-2025.pdf",
        "website": "https://letsencrypt.org",
    },
    "newAccount": "https://acme-v02.api.letsencrypt.org/acme/new-acct",
    "newNonce": "https://acme-v02.api.letsencrypt.org/acme/new-nonce",
    "newOrder": "https://acme-v02.api.letsencrypt.org/acme/new-order",
    "renewalInfo": "https://acme-v02.api.letsencrypt.org/acme/renewal-info",
    "revokeCert": "https://acme-v02.api.letsencrypt.org/acme/revoke-cert",
    "udTsCEbdBNA": "https://community.letsencrypt.org/t/adding-random-entries-to-the-directory/33417",
}


def test_a_directory_of_lets_encrypt_is_read():
    directory = Directory.from_json(LETSENCRYPT)
    assert directory.urls["renewalInfo"].endswith("/renewal-info")
    assert directory.meta.caa_identities == ("letsencrypt.org",)
    assert sorted(directory.meta.profiles) == ["classic", "tlsserver"]
    assert directory.meta.website == "https://letsencrypt.org"
    assert not directory.meta.external_account_required


@pytest.mark.parametrize("meta", [None, [], "x", {}, {"profiles": [], "caaIdentities": {}, "website": 7}])
def test_a_ca_that_says_nothing_of_itself_can_still_be_used(meta):
    assert Directory.from_json({**LETSENCRYPT, "meta": meta}).meta == Meta()


def test_only_a_plain_yes_asks_for_a_binding():
    assert Meta.from_json({"externalAccountRequired": True}).external_account_required
    assert not Meta.from_json({"externalAccountRequired": "true"}).external_account_required


def test_what_is_no_url_is_no_resource():
    assert Directory.from_json({"newOrder": 7, "newNonce": "file:///etc/passwd", "newAccount": "https://["}).urls == {}


def test_what_is_no_object_is_no_directory():
    with pytest.raises(NotAcme):
        Directory.from_json([])
