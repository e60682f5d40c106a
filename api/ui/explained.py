"""What was found at the last look, for somebody who knows no more of DNS than how to copy a record. Only data."""

from __future__ import annotations

from collections.abc import Mapping

# code → what was found, for somebody who knows no more of DNS than how to copy a record. '' adds nothing to the
# sentence or to the records, and None has the finding's own message told: it names what is to be changed.
EXPLAINED: Mapping[str, str | None] = {
    # the proof
    "txt_found": "",
    "cname_at_platform": "",
    "txt_propagating": "Some of the resolvers that we ask see the new record, others do not yet.",
    "cname_propagating": "Some of the resolvers that we ask see the new record, others do not yet.",
    "txt_mismatch": "There is a record, but with another value. Replace it with the one below, without quotes.",
    "txt_no_record": "The TXT record is not there yet. New records show up within minutes, sometimes within hours.",
    "txt_name_missing": "The TXT record is not there yet. New records show up within minutes, sometimes within hours.",
    "txt_name_too_long": "The name is too long for the TXT record, so only the CNAME can prove that it is yours.",
    "dns_servfail": "The name servers of your domain fail, or its DNSSEC is broken. Your DNS provider can mend that.",
    "hostname_in_use": "It becomes yours once its address no longer leads to that account, or the account gives it up.",
    "hostname_cooling_down": "It is kept from everybody else for a day, so that nobody loses a name by mistake.",
    # where the name leads
    "at_platform": "",
    "delegated": "",
    "through_proxy": "",
    "at_other_tenant": "It points to another customer's address on our platform. Use the record below instead.",
    "addresses_at_other_tenant": "It points to another customer's address on our platform. Use the record below.",
    "addresses_elsewhere": "It points to another server at the moment. Replace that record with the one below.",
    "ipv4_elsewhere": None,
    "ipv6_elsewhere": None,
    "addresses_missing": "It has no address yet. Add the record below.",
    "no_address": "It has no address any more. Add the record below.",
    "name_missing": "It does not exist in DNS yet. Add the record below.",
    "addresses_mixed": "Some of its addresses are ours and some are not. Remove those that are not.",
    "addresses_propagating": "Some of the resolvers that we ask see it lead here, others do not yet.",
    "ownership_contested": "Another account has proven this name, and your TXT record is gone. Add it again.",
    "dnssec_bogus": "Its DNSSEC signatures are broken. Your DNS provider can mend them, or remove the DS record.",
    "dns_silent": "The name servers of your domain do not answer. Your DNS provider can mend that.",
    # port 80
    "port80_wrong_answer": "Another server answers for it. Remove the records that do not lead here.",
    "port80_redirected": "Another server answers for it and redirects. Remove the records that do not lead here.",
    "port80_unreachable": "Nothing answers at one of its addresses. Remove the records that do not lead here.",
    "port80_address_forbidden": None,
    # CAA
    "caa_forbids": None,
    "caa_unreadable": None,
    "caa_propagating": "Some of the resolvers that we ask see your new CAA records, others do not yet.",
    # the delegation of the challenge
    "delegation_missing": "The CNAME that lets us renew the certificate is not there yet. Add the record below.",
    "delegation_elsewhere": "The CNAME for the certificate leads elsewhere. Replace it with the one below.",
    "delegation_hidden": None,
    "delegation_propagating": "Some of the resolvers that we ask see the new record, others do not yet.",
    "delegation_name_too_long": "The name is too long to be validated by DNS. Register a shorter one.",
    # what the CA found
    "challenge_unreachable": "The certificate authority could not connect to it. Check the record below.",
    "challenge_dns_failed": "The certificate authority could not look it up. Check the records below.",
    "challenge_wrong_answer": "The certificate authority reached another server. Check the record below.",
    "challenge_tls_failed": "The certificate authority reached another server. Check the record below.",
    "challenge_refused": "The certificate authority could not use what it found. Check the records below.",
    "name_rejected": "The certificate authority does not issue for this name; a certificate of your own would do.",
    "ca_unavailable": "The certificate authority has trouble of its own. We try again by ourselves.",
    "ca_rate_limited": "The certificate authority has had many orders lately. We try again as soon as it lets us.",
    # waiting for a limit
    "limit_account_orders": "Many certificates are being ordered. This one has its turn soon.",
    "limit_registered_domain": "Many certificates were issued below this domain lately. The next may be in a while.",
    "limit_exact_set": "This certificate was issued often lately. The next may be in a while.",
    "limit_failed_validations": "It failed a few times lately, so the certificate authority wants a pause.",
    "limit_failures_in_row": "It failed many times lately, so the certificate authority wants a pause.",
    "queued": "Other certificates were asked for before this one.",
}
