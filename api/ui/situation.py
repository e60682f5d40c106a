"""Every state that a domain can be in, and the sentence that is said of it. Only data, and how a row matches.

ROWS is read from the top; the first row that matches is taken. The last row of each status matches everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.domain import Finding

Tone = Literal["good", "wait", "act", "bad", "idle"]
Who = Literal["tenant", "operator", "ca", "nobody"]
# What helps: a section of the page, or a button; it is put first.
Remedy = Literal["", "records", "verify", "resume", "renew", "upload"]

WHO: Mapping[Who, str] = {
    "tenant": "Your turn",
    "operator": "We are on it",
    "ca": "With the certificate authority",
    "nobody": "Nothing to do",
}
# An active name's certificate is as it should be, so what its DNS says is the news.
AT_REST = frozenset({"issued", "renewed"})


@dataclass(frozen=True, slots=True)
class Situation:
    """`finding`: the one that matters now. `ending`: the uploaded certificate needs a successor soon.

    `expired`: what is served has run out. `paused`: by the tenant.
    """

    status: str
    ssl_status: str
    finding: Finding | None = None
    uploaded: bool = False
    ending: bool = False
    expired: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Matches where `status` and each of the fields after `remedy` do; None matches everything.

    `acts`: who must act. `who`, `codes`: of the finding.
    """

    status: str
    text: str
    label: str
    tone: Tone
    acts: Who
    remedy: Remedy = ""
    ssl: frozenset[str] | None = None
    codes: frozenset[str] | None = None
    who: Who | None = None
    uploaded: bool | None = None
    ending: bool | None = None
    expired: bool | None = None
    paused: bool | None = None

    def matches(self, there: Situation) -> bool:
        code, who = (None, None) if there.finding is None else (there.finding.code, there.finding.who)
        return (
            self.status == there.status
            and (self.ssl is None or there.ssl_status in self.ssl)
            and (self.codes is None or code in self.codes)
            and (self.who is None or who == self.who)
            and (self.uploaded is None or there.uploaded == self.uploaded)
            and (self.ending is None or there.ending == self.ending)
            and (self.expired is None or there.expired == self.expired)
            and (self.paused is None or there.paused == self.paused)
        )


PAUSED = frozenset({"paused"})
TROUBLED = frozenset({"none", "validating", "expiring", "error"})
SPREADING = frozenset(
    {"txt_propagating", "cname_propagating", "addresses_propagating", "delegation_propagating", "caa_propagating"}
)
NOT_POINTED = frozenset(
    {"addresses_elsewhere", "addresses_missing", "name_missing", "no_address", "addresses_at_other_tenant"}
)
# What the watch finds of a name that is live.
GONE = frozenset(
    {"at_other_tenant", "addresses_elsewhere", "addresses_mixed", "no_address", "name_missing", "ownership_contested"}
)
DELEGATION = frozenset({"delegation_missing", "delegation_elsewhere", "delegation_hidden"})

ROWS: tuple[Row, ...] = (
    # --- the name is not proven yet
    Row(
        "pending", "We cannot look up the DNS of {host} at the moment, and keep trying.", "Waiting", "wait",
        "operator", "records", who="operator",
    ),
    Row(
        "pending", "Almost there: the TXT record of {host} has another value than the one below.", "Pending DNS",
        "act", "tenant", "records", codes=frozenset({"txt_mismatch"}),
    ),
    Row(
        "pending", "The name servers of {host} do not answer, so we cannot see your records.", "Pending DNS", "act",
        "tenant", "records", codes=frozenset({"dns_servfail"}),
    ),
    Row(
        "pending", "Your records for {host} have been seen, and are being confirmed.", "Checking DNS", "wait",
        "nobody", "verify", codes=SPREADING | {"txt_found", "cname_at_platform"},
    ),
    Row(
        "pending", "Set the DNS records below to connect {host}.", "Pending DNS", "act", "tenant", "records",
    ),
    Row(
        "dns_check", "Your records for {host} are right, but another account still uses this name.", "Name in use",
        "act", "tenant", "verify", codes=frozenset({"hostname_in_use"}),
    ),
    Row(
        "dns_check", "Your records for {host} are right; its former owner gave the name up only just now, so it is "
        "held back for a while.", "Waiting", "wait", "nobody", codes=frozenset({"hostname_cooling_down"}),
    ),
    Row(
        "dns_check", "We have seen your records for {host}, but cannot look up its DNS at the moment; we keep trying.",
        "Waiting", "wait", "operator", who="operator",
    ),
    Row(
        "dns_check", "We have seen your records for {host}, and now they are missing: please check them.",
        "Pending DNS", "act", "tenant", "records", who="tenant",
    ),
    Row(
        "dns_check", "Your records for {host} are spreading across the Internet; there is nothing to do for now.",
        "Checking DNS", "wait", "nobody", "verify",
    ),
    # --- it came to nothing
    Row(
        "failed", "We tried often to get a certificate for {host}, and have stopped. Mend what we found, then try "
        "again.", "Stopped", "bad", "tenant", "resume", ssl=PAUSED,
    ),
    Row(
        "failed", "The records of {host} were not there in time, so we have stopped looking. Set them, then try "
        "again.", "Stopped", "bad", "tenant", "resume",
    ),
    # --- proven; the certificate is to come
    Row(
        "verified", "{host} is yours. You have paused it: its certificate is ordered once you resume.", "Paused",
        "idle", "tenant", "resume", paused=True,
    ),
    Row(
        "verified", "{host} is yours, and your own certificate is being put in place.", "Going live", "wait",
        "operator", uploaded=True,
    ),
    Row(
        "verified", "{host} is yours. We tried often to get its certificate, and have stopped. Mend what we found, "
        "then try again.", "No certificate", "bad", "tenant", "resume", ssl=PAUSED,
    ),
    Row(
        "verified", "{host} is yours, and its certificate is ready: it is being put in place.", "Going live", "wait",
        "operator", ssl=AT_REST,
    ),
    Row(
        "verified", "{host} is yours. Point it to us with the record below, and its certificate follows.",
        "Point it here", "act", "tenant", "records", codes=NOT_POINTED,
    ),
    Row(
        "verified", "{host} is yours. One more record, and its certificate follows.", "One more record", "act",
        "tenant", "records", codes=DELEGATION,
    ),
    Row(
        "verified", "{host} is yours. Something in its DNS is in the way of its certificate.", "Needs a change",
        "act", "tenant", "verify", who="tenant",
    ),
    Row(
        "verified", "{host} is yours. Something on our side has to be mended before its certificate is made.",
        "Waiting", "wait", "operator", who="operator",
    ),
    Row(
        "verified", "{host} is yours. The certificate authority cannot issue just now; we try again by ourselves.",
        "Waiting", "wait", "ca", who="ca",
    ),
    Row(
        "verified", "{host} is yours. Your change is spreading across the Internet; there is nothing to do for now.",
        "Checking DNS", "wait", "nobody", "verify", codes=SPREADING,
    ),
    Row(
        "verified", "{host} is yours. Its certificate waits for its turn; there is nothing to do.", "Waiting", "wait",
        "nobody", who="nobody",
    ),
    Row(
        "verified", "{host} is yours. Its certificate is being issued, which mostly takes less than a minute.",
        "Issuing", "wait", "ca", ssl=frozenset({"validating"}),
    ),
    Row(
        "verified", "{host} is yours. Its certificate is next; there is nothing to do.", "Issuing", "wait", "operator",
    ),
    # --- live
    Row(
        "active", "The certificate of {host} has run out: visitors are warned. You have paused its renewal; resume it.",
        "Expired", "bad", "tenant", "resume", expired=True, paused=True,
    ),
    Row(
        "active", "The certificate of {host} has run out: visitors are warned. Mend what we found, then resume.",
        "Expired", "bad", "tenant", "resume", expired=True, ssl=PAUSED,
    ),
    Row(
        "active", "The certificate of {host} has run out: visitors are warned. Mend what we found, and it is renewed.",
        "Expired", "bad", "tenant", "renew", expired=True, who="tenant",
    ),
    Row(
        "active", "The certificate of {host} has run out: visitors are warned. We are working on the next one.",
        "Expired", "bad", "operator", "renew", expired=True,
    ),
    Row(
        "active", "{host} is live. Your own certificate ends soon: upload the next one.", "Live", "act", "tenant",
        "upload", ending=True,
    ),
    Row("active", "{host} is live with your own certificate.", "Live", "good", "nobody", uploaded=True),
    Row(
        "active", "{host} is live. You have paused the renewal of its certificate; resume it in time.", "Live, paused",
        "idle", "tenant", "resume", paused=True,
    ),
    Row(
        "active", "{host} is live, but its renewal failed too often and is paused. Mend what we found, then resume.",
        "Renewal paused", "bad", "tenant", "resume", ssl=PAUSED,
    ),
    Row(
        "active", "{host} is live, but its certificate cannot be renewed as its DNS is now.", "Live, act soon", "act",
        "tenant", "verify", ssl=TROUBLED, who="tenant",
    ),
    Row(
        "active", "{host} is live. Its renewal waits for something on our side, and is in good time.", "Live", "wait",
        "operator", ssl=TROUBLED, who="operator",
    ),
    Row(
        "active", "{host} is live. Its renewal waits for the certificate authority, and is in good time.", "Live",
        "wait", "ca", ssl=TROUBLED, who="ca",
    ),
    Row("active", "{host} is live. Its certificate is being renewed.", "Live", "good", "nobody", ssl=TROUBLED),
    Row(
        "active", "{host} is live, but its DNS does not lead here any more.", "Live, act soon", "act", "tenant",
        "records", ssl=AT_REST, codes=GONE,
    ),
    Row("active", "{host} is live and secure.", "Live", "good", "nobody"),
    # --- gone elsewhere
    Row(
        "moved", "{host} leads elsewhere, and its certificate here has run out.", "Moved away", "bad", "tenant",
        "records", expired=True,
    ),
    Row(
        "moved", "{host} leads elsewhere now, so its certificate is not renewed. Point it back, or remove it here.",
        "Moved away", "act", "tenant", "records",
    ),
)  # fmt: skip

# Of a state that a newer control knows.
UNKNOWN = Row("", "{host} is being looked at; there is nothing to do for now.", "Waiting", "wait", "operator")
