"""What there is to tell, to whom, and the sentences of it. Only data; the tests hold it against the state machines.

An event that is not here is told to tenants' webhooks under its name, without a sentence of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Audience = Literal["tenant", "admin"]


@dataclass(frozen=True, slots=True)
class Notice:
    """`subject`, `text`: with {hostname} and the like of the payload. `mail`: worth a mail that nobody asked for.

    `tenant`, `admin`: whom it concerns. What somebody of the platform must mend reaches the admin besides.
    """

    subject: str
    text: str
    mail: bool = False
    tenant: bool = True
    admin: bool = False


NOTICES: Mapping[str, Notice] = {
    # Ownership.
    "domain.add": Notice("{hostname} was registered", "The DNS is looked at until the domain is proven."),
    "domain.dns_check": Notice("A DNS record of {hostname} was found", "It is not the right one yet."),
    "domain.verify": Notice("{hostname} is verified", "Its DNS proves that it is yours. A certificate comes next."),
    "domain.verify_failed": Notice(
        "{hostname} could not be verified",
        "Its DNS did not prove in time that it is yours. Correct the records and ask for verification again.",
        mail=True,
    ),
    "domain.retry": Notice("{hostname} is tried again", "A new time to prove the domain has begun."),
    "domain.activate": Notice("{hostname} is live", "It is served with a certificate of its own.", mail=True),
    "domain.ssl_failed": Notice(
        "{hostname} has no certificate",
        "Too many attempts at a certificate failed, and there will be no more by themselves. Mend the cause, then ask "
        "for verification again.",
        mail=True,
    ),
    "domain.move_away": Notice(
        "{hostname} does not lead here any more",
        "Its DNS points elsewhere. It is served as long as its certificate lasts, which is not renewed. It comes back "
        "by itself when its DNS does.",
        mail=True,
    ),
    "domain.come_back": Notice("{hostname} leads here again", "Its certificate is renewed as before.", mail=True),
    "domain.transfer": Notice(
        "{hostname} belongs to another account",
        "It did not lead here any more, and somebody else has proven it. It was detached from your account.",
        mail=True,
    ),
    "domain.delete": Notice("{hostname} was detached", "It is not served any more; its certificate is revoked.", True),
    # The certificate.
    "domain.ssl_order": Notice("A certificate for {hostname} was ordered", "The CA now checks the domain."),
    "domain.ssl_issue": Notice("{hostname} has a certificate", "It is served as soon as all servers have it."),
    "domain.ssl_expiring": Notice("The certificate of {hostname} is renewed", "The one it has serves on meanwhile."),
    "domain.ssl_reissue": Notice(
        "A new certificate for {hostname} was asked for", "The one it has serves on until the new one is there."
    ),
    "domain.ssl_renew": Notice("The certificate of {hostname} was renewed", "Nothing is left to do."),
    "domain.ssl_error": Notice("An attempt at a certificate for {hostname} failed", "It is tried again by itself."),
    "domain.ssl_preflight": Notice(
        "{hostname} is not ready for a certificate", "No order was spent. It is looked at again by itself."
    ),
    "domain.ssl_pause": Notice(
        "Certificates for {hostname} are paused",
        "Too many attempts failed in a row. Mend the cause, then resume them by one call.",
        mail=True,
        admin=True,
    ),
    "domain.ssl_resume": Notice("Certificates for {hostname} are tried again", "They had been paused."),
    "domain.pause": Notice(
        "{hostname} was paused",
        "No certificate is ordered or renewed for it until it is resumed. It is served while its certificate lasts.",
    ),
    "domain.resume": Notice("{hostname} was resumed", "Its certificate is ordered and renewed again."),
    "domain.pause_expiring": Notice(
        "The certificate of {hostname} is about to end, and is paused",
        "It ends at {not_after} and will not be renewed before you resume it. After that, the name is not served.",
        mail=True,
    ),
    "domain.ssl_revoke": Notice("The certificate of {hostname} was revoked", "Its key was destroyed.", tenant=False),
    # The tenant's own certificate.
    "domain.upload": Notice("{hostname} has a certificate of yours", "It is served instead of the platform's own."),
    "domain.upload_replace": Notice("Your certificate for {hostname} was replaced", "Nothing is left to do."),
    "domain.upload_expiring": Notice(
        "Your certificate for {hostname} is about to expire",
        "The one that you uploaded ends at {not_after}. Upload the next one before that.",
        mail=True,
    ),
    "domain.upload_expire": Notice(
        "Your certificate for {hostname} has expired", "It ends at {not_after}, and is served no more.", mail=True
    ),
    "domain.upload_withdraw": Notice(
        "Your certificate for {hostname} was withdrawn", "The platform's own is served, if there is one."
    ),
    # The certificates of its clients.
    "domain.client_auth_set": Notice(
        "Clients of {hostname} are asked for certificates", "Who they are held against is as it was set now."
    ),
    "domain.client_auth_remove": Notice(
        "Clients of {hostname} are not asked for certificates any more", "Everybody may use it now.", mail=True
    ),
    "domain.client_ca_ending": Notice(
        "An authority of the clients of {hostname} runs out",
        "Send the next one together with those there are, and let clients change their certificates.",
        mail=True,
    ),
    "domain.client_crl_ending": Notice(
        "A revocation list of the clients of {hostname} goes stale",
        "Send the next one: with a stale list, no client of its authority is let in.",
        mail=True,
    ),
    # The endpoints themselves.
    "notification.test": Notice("This is a test", "Notifications reach you.", mail=True),
    "notification.endpoint_disabled": Notice(
        "Notifications to {address} have ended",
        "It said that it is gone, or has failed for days. A test that succeeds takes it in use again.",
        mail=True,
    ),
    # For the platform's admin only.
    "notification.dead_letter": Notice(
        "Notifications to a tenant's endpoint are given up",
        "Endpoint {endpoint} of tenant {tenant} did not take them for days. They are kept for 30 days, for a retry.",
        mail=True,
        tenant=False,
        admin=True,
    ),
    "ca.out": Notice(
        "The CA {ca} is out", "Nothing is ordered there until {until}.", mail=True, tenant=False, admin=True
    ),
    "platform.trouble": Notice(
        "Certificates wait for the platform",
        "It was met with {hostname}, and others may wait for it too. It is told once a day for each cause ({code}).",
        mail=True,
        tenant=False,
        admin=True,
    ),
    "platform.identity_expiring": Notice(
        "The identity {name} ends at {not_after}",
        "Upstream services are shown this client certificate. Upload its successor before that; days left: {days}.",
        mail=True,
        tenant=False,
        admin=True,
    ),
    "platform.trust_expiring": Notice(
        "An authority of the bundle {name} ends at {not_after}",
        "Upstream services are trusted by the certificate with the serial {serial}. Put its successor into the bundle "
        "before that; days left: {days}.",
        mail=True,
        tenant=False,
        admin=True,
    ),
    "ca.back": Notice("The CA {ca} is back", "Orders go there again.", mail=True, tenant=False, admin=True),
}

TENANT_EVENTS = tuple(sorted(event for event, notice in NOTICES.items() if notice.tenant))


def notice_of(event: str) -> Notice:
    return NOTICES.get(event) or Notice(event.replace("{", "{{").replace("}", "}}"), "")


def audiences(event: str, payload: Mapping[str, Any]) -> frozenset[Audience]:
    """Whom it concerns. `payload`: with `who`, where something was found that somebody must mend."""
    notice = notice_of(event)
    found: set[Audience] = set()
    if notice.tenant:
        found.add("tenant")
    if notice.admin or payload.get("who") == "operator":
        found.add("admin")
    return frozenset(found)


def is_mailed(event: str, payload: Mapping[str, Any], audience: Audience) -> bool:
    """Whether mailboxes that asked for no particular events get it."""
    return notice_of(event).mail or (audience == "admin" and payload.get("who") == "operator")
