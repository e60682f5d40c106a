"""An external account binding, at a Pebble that wants one (RFC 8555 section 7.3.4)."""

from __future__ import annotations

import pytest

from control.acme.problems import AcmeError, AcmeMisconfigured, AcmeRefused
from core.vault import eab_path

OTHER = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"


async def refusal(authority) -> AcmeError:
    with pytest.raises(AcmeError) as refused:
        await authority.client()
    assert refused.value.meaning.outage, "no order can be sent there"
    assert (refused.value.meaning.who, refused.value.meaning.counts) == ("operator", False)
    return refused.value


async def test_an_account_is_bound_by_what_vault_has(binding, operator, authority, hmac):
    await operator.write(eab_path(binding.directory_url), {"key_id": "kid-1", "hmac": hmac})
    client = await authority(binding, eab=True).client()
    assert (await client.new_order("shop.example.com")).status == "pending"
    assert (await client.meta()).external_account_required


async def test_it_is_needed_once_and_never_again(binding, operator, authority, hmac):
    path = eab_path(binding.directory_url)
    await operator.write(path, {"key_id": "kid-1", "hmac": f"{hmac}=="})
    first = await authority(binding, eab=True).client()
    await operator.destroy(path)
    again = await authority(binding, eab=True).client()
    without = await authority(binding).client()
    assert first.account_url == again.account_url == without.account_url


async def test_a_ca_that_wants_one_that_is_not_configured_says_so(binding, authority):
    error = await refusal(authority(binding))
    assert isinstance(error, AcmeMisconfigured)
    assert error.code == "ca_eab_required"


async def test_one_that_vault_does_not_have_is_named_by_its_path(binding, authority):
    error = await refusal(authority(binding, eab=True))
    assert error.code == "ca_eab_missing"
    assert eab_path(binding.directory_url) in str(error)


async def test_a_wrong_one_is_refused_by_the_ca_and_a_right_one_works_without_a_restart(
    binding, operator, authority, hmac
):
    path = eab_path(binding.directory_url)
    tried = authority(binding, eab=True)
    for wrong in [("kid-1", OTHER), ("kid-2", hmac)]:
        await operator.write(path, {"key_id": wrong[0], "hmac": wrong[1]})
        error = await refusal(tried)
        assert isinstance(error, AcmeRefused)
        assert (error.code, error.problem.name) == ("ca_eab_refused", "unauthorized")
        assert wrong[1] not in str(error) + str(error.problem.to_json())
    await operator.write(path, {"key_id": "kid-1", "hmac": hmac})
    assert (await tried.client()).account_url.startswith("https://")


async def test_one_that_cannot_be_one_is_not_sent_nor_quoted(binding, operator, authority, hmac):
    unreadable = [{}, {"key_id": "kid-1"}, {"key_id": "kid-1", "hmac": "sec+ret/" * 6}, {"key_id": 7, "hmac": hmac}]
    for stored in unreadable:
        await operator.write(eab_path(binding.directory_url), stored)
        error = await refusal(authority(binding, eab=True))
        assert error.code == "ca_eab_unreadable"
        assert "sec+ret" not in repr(error)


async def test_one_that_the_operator_wants_is_sent_to_a_ca_that_does_not_ask_for_it(pebble, operator, authority, hmac):
    await operator.write(eab_path(pebble.directory_url), {"key_id": "kid-1", "hmac": hmac})
    error = await refusal(authority(pebble, eab=True))
    assert error.code == "ca_eab_refused", "Pebble knows no such key, and says so although it wants none"
