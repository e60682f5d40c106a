"""An external account binding, at a Pebble that wants one (RFC 8555 section 7.3.4)."""

from __future__ import annotations

import pytest

from control.acme.problems import AcmeError, AcmeMisconfigured, AcmeRefused
from core.vault import eab_path
from embedded.pebble import Pebble

HMAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
OTHER = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"


@pytest.fixture
async def strict(state_dir, dns_server, pebble_package, ports):
    """A Pebble that binds every account to the key `kid-1`."""
    accounts = {"kid-1": HMAC}
    async with Pebble.start(
        state_dir, dns_server=dns_server.address, http_port=ports(1)[0], external_accounts=accounts
    ) as pebble:
        yield pebble


async def refusal(authority) -> AcmeError:
    with pytest.raises(AcmeError) as refused:
        await authority.client()
    assert refused.value.meaning.outage, "no order can be sent there"
    assert (refused.value.meaning.who, refused.value.meaning.counts) == ("operator", False)
    return refused.value


async def test_an_account_is_bound_by_what_vault_has(strict, vault, authority):
    await vault.write(eab_path(strict.directory_url), {"key_id": "kid-1", "hmac": HMAC}, cas=0)
    client = await authority(strict, eab=True).client()
    assert (await client.new_order("shop.example.com")).status == "pending"
    assert (await client.meta()).external_account_required


async def test_it_is_needed_once_and_never_again(strict, vault, authority):
    path = eab_path(strict.directory_url)
    await vault.write(path, {"key_id": "kid-1", "hmac": HMAC + "=="}, cas=0)
    first = await authority(strict, eab=True).client()
    await vault.destroy(path)
    again = await authority(strict, eab=True).client()
    without = await authority(strict).client()
    assert first.account_url == again.account_url == without.account_url


async def test_a_ca_that_wants_one_that_is_not_configured_says_so(strict, authority):
    error = await refusal(authority(strict))
    assert isinstance(error, AcmeMisconfigured)
    assert error.code == "ca_eab_required"


async def test_one_that_vault_does_not_have_is_named_by_its_path(strict, authority):
    error = await refusal(authority(strict, eab=True))
    assert error.code == "ca_eab_missing"
    assert eab_path(strict.directory_url) in str(error)


@pytest.mark.parametrize(("key_id", "hmac"), [("kid-1", OTHER), ("kid-2", HMAC)])
async def test_a_wrong_one_is_refused_by_the_ca_and_a_right_one_works_without_a_restart(
    strict, vault, authority, key_id, hmac
):
    path = eab_path(strict.directory_url)
    await vault.write(path, {"key_id": key_id, "hmac": hmac}, cas=0)
    tried = authority(strict, eab=True)
    error = await refusal(tried)
    assert isinstance(error, AcmeRefused)
    assert (error.code, error.problem.name) == ("ca_eab_refused", "unauthorized")
    assert hmac not in str(error) + str(error.problem.to_json())
    await vault.write(path, {"key_id": "kid-1", "hmac": HMAC}, cas=1)
    assert (await tried.client()).account_url.startswith("https://")


@pytest.mark.parametrize(
    "stored",
    [{}, {"key_id": "kid-1"}, {"key_id": "kid-1", "hmac": "sec+ret/" * 6}, {"key_id": 7, "hmac": HMAC}],
)
async def test_one_that_cannot_be_one_is_not_sent_nor_quoted(strict, vault, authority, stored):
    await vault.write(eab_path(strict.directory_url), stored, cas=0)
    error = await refusal(authority(strict, eab=True))
    assert error.code == "ca_eab_unreadable"
    assert "sec+ret" not in repr(error)


async def test_one_that_the_operator_wants_is_sent_to_a_ca_that_does_not_ask_for_it(pebble, vault, authority):
    await vault.write(eab_path(pebble.directory_url), {"key_id": "kid-1", "hmac": HMAC}, cas=0)
    error = await refusal(authority(pebble, eab=True))
    assert error.code == "ca_eab_refused", "Pebble knows no such key, and says so although it wants none"
