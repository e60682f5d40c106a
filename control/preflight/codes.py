"""Every code that is the pre-flight's own: how much it matters, who can mend it, and the sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum

from control.dns.caa import Reason


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    BLOCKING = "blocking"


class Code(StrEnum):
    # resolution
    DNS_RESOLVES = "dns_resolves"
    DNSSEC_BOGUS = "dnssec_bogus"
    DNS_SERVFAIL = "dns_servfail"
    DNS_SILENT = "dns_silent"
    DNS_PARTLY_FAILING = "dns_partly_failing"
    RESOLVERS_SILENT = "resolvers_silent"
    # addresses
    ADDRESSES_HERE = "addresses_here"
    ADDRESSES_PROXIED = "addresses_proxied"
    ADDRESSES_PROPAGATING = "addresses_propagating"
    ADDRESSES_ELSEWHERE = "addresses_elsewhere"
    ADDRESSES_AT_OTHER_TENANT = "addresses_at_other_tenant"
    IPV4_ELSEWHERE = "ipv4_elsewhere"
    IPV6_ELSEWHERE = "ipv6_elsewhere"
    ADDRESSES_MISSING = "addresses_missing"
    NAME_MISSING = "name_missing"
    ADDRESSES_UNKNOWN = "addresses_unknown"
    PLATFORM_ADDRESSES_UNKNOWN = "platform_addresses_unknown"
    # port 80
    PORT80_ANSWERS = "port80_answers"
    PORT80_WRONG_ANSWER = "port80_wrong_answer"
    PORT80_REDIRECTED = "port80_redirected"
    PORT80_UNREACHABLE = "port80_unreachable"
    PORT80_ADDRESS_FORBIDDEN = "port80_address_forbidden"
    PORT80_PLATFORM_WRONG_ANSWER = "port80_platform_wrong_answer"
    PORT80_PLATFORM_UNREACHABLE = "port80_platform_unreachable"
    PORT80_UNTRIED = "port80_untried"
    # delegation; its others are those of control.dns.delegation
    DELEGATION_UNKNOWN = "delegation_unknown"
    # caa
    CAA_PERMITS = "caa_permits"
    CAA_PERMITS_SOME = "caa_permits_some"
    CAA_PROPAGATING = "caa_propagating"
    CAA_FORBIDS = "caa_forbids"
    CAA_UNREADABLE = "caa_unreadable"
    CAA_UNKNOWN = "caa_unknown"


OK, WARNING, BLOCKING = Level.OK, Level.WARNING, Level.BLOCKING

EXPLANATIONS: Mapping[Code, tuple[Level, str, str]] = {
    Code.DNS_RESOLVES: (OK, "nobody", "The resolvers answer all questions about {hostname}."),
    Code.DNSSEC_BOGUS: (
        BLOCKING,
        "tenant",
        "The DNSSEC signatures of {name} do not hold, so CAs cannot resolve it; mend them, "
        "or remove the DS record at the registrar.",
    ),
    Code.DNS_SERVFAIL: (BLOCKING, "tenant", "{name} cannot be resolved (SERVFAIL): the domain's name servers fail."),
    Code.DNS_SILENT: (
        BLOCKING,
        "tenant",
        "{name} cannot be resolved in time, while other names can: the domain's name servers do not answer.",
    ),
    Code.DNS_PARTLY_FAILING: (WARNING, "nobody", "Some questions about {hostname} were not answered by all resolvers."),
    Code.RESOLVERS_SILENT: (
        WARNING,
        "operator",
        "The platform's resolvers do not answer, so nothing could be checked.",
    ),
    Code.ADDRESSES_HERE: (OK, "nobody", "All addresses of {hostname} lead to the platform."),
    Code.ADDRESSES_PROXIED: (
        WARNING,
        "nobody",
        "{hostname} has addresses that are not the platform's, but the platform answers behind them.",
    ),
    Code.ADDRESSES_PROPAGATING: (
        BLOCKING,
        "nobody",
        "Some resolvers see {hostname} lead to the platform and others not yet; it takes a while to spread.",
    ),
    Code.ADDRESSES_ELSEWHERE: (BLOCKING, "tenant", "{hostname} does not lead to the platform; {remedy}."),
    Code.ADDRESSES_AT_OTHER_TENANT: (
        BLOCKING,
        "tenant",
        "{hostname} leads to the target of another tenant of the platform; {remedy}.",
    ),
    Code.IPV4_ELSEWHERE: (
        BLOCKING,
        "tenant",
        "The A record of {hostname} leads elsewhere, only its AAAA record leads to the platform; {remedy}.",
    ),
    Code.IPV6_ELSEWHERE: (
        BLOCKING,
        "tenant",
        "The AAAA record of {hostname} leads elsewhere, and CAs and most visitors prefer IPv6; {remedy}.",
    ),
    Code.ADDRESSES_MISSING: (BLOCKING, "tenant", "{hostname} has neither an A nor an AAAA record; {remedy}."),
    Code.NAME_MISSING: (BLOCKING, "tenant", "{hostname} does not exist in DNS (NXDOMAIN); {remedy}."),
    Code.ADDRESSES_UNKNOWN: (WARNING, "nobody", "The addresses of {hostname} could not be looked up."),
    Code.PLATFORM_ADDRESSES_UNKNOWN: (
        WARNING,
        "operator",
        "The platform has no addresses to compare with: none are set, and {target} has none in DNS.",
    ),
    Code.PORT80_ANSWERS: (OK, "nobody", "The platform answers on port 80 at every address of {hostname}."),
    Code.PORT80_WRONG_ANSWER: (
        BLOCKING,
        "tenant",
        "Another server than the platform's answers on port 80 at {address}; lead {hostname} to the platform.",
    ),
    Code.PORT80_REDIRECTED: (
        BLOCKING,
        "tenant",
        "Port 80 at {address} redirects the CA's question elsewhere; lead {hostname} to the platform.",
    ),
    Code.PORT80_UNREACHABLE: (
        BLOCKING,
        "tenant",
        "Nothing answers on port 80 at {address}, where the CA would ask; lead {hostname} to the platform.",
    ),
    Code.PORT80_ADDRESS_FORBIDDEN: (
        BLOCKING,
        "tenant",
        "{address} is no address of the public Internet, so no CA can connect to {hostname} there.",
    ),
    Code.PORT80_PLATFORM_WRONG_ANSWER: (
        BLOCKING,
        "operator",
        "The platform's own address {address} does not answer the CA's question on port 80.",
    ),
    # Not blocking: many networks do not let a host inside connect to their own addresses on the outside.
    Code.PORT80_PLATFORM_UNREACHABLE: (
        WARNING,
        "operator",
        "The platform's own address {address} cannot be reached on port 80 from within the platform.",
    ),
    Code.PORT80_UNTRIED: (WARNING, "nobody", "{hostname} has no address where port 80 could be tried."),
    Code.DELEGATION_UNKNOWN: (WARNING, "nobody", "{name} could not be looked up."),
    Code.CAA_PERMITS: (OK, "nobody", "CAA records let all of the platform's CAs issue for {hostname}."),
    Code.CAA_PERMITS_SOME: (
        WARNING,
        "nobody",
        "CAA records at {owner} let only some of the platform's CAs issue for {hostname}.",
    ),
    Code.CAA_PROPAGATING: (
        BLOCKING,
        "nobody",
        "Resolvers differ about the CAA records of {hostname}, and some show such as let no CA of the platform issue; "
        "it takes a while to spread.",
    ),
    Code.CAA_FORBIDS: (BLOCKING, "tenant", "The CAA records at {owner} {why}; {remedy}."),
    Code.CAA_UNREADABLE: (
        BLOCKING,
        "tenant",
        "The name servers fail on the question for CAA records of {owner}, and then no CA may issue.",
    ),
    Code.CAA_UNKNOWN: (WARNING, "nobody", "The CAA records of {hostname} could not be looked up."),
}

# Why CAA records do not let a CA issue, and what helps. `record`: the one that decides; `wanted`: one to add.
CAA_REASONS: Mapping[Reason, tuple[str, str]] = {
    Reason.METHOD_NOT_ALLOWED: ("do not allow the validation by {method} ({record})", "add {wanted}"),
    Reason.ACCOUNT_NOT_ALLOWED: ("name another account than the platform's ({record})", "add {wanted}"),
    Reason.ISSUER_NOT_NAMED: ("do not name the platform's CA (but {record})", "add {wanted}"),
    Reason.MALFORMED: ("cannot be understood, which forbids all CAs ({record})", "add {wanted}"),
    Reason.NOBODY_MAY: ("let no CA issue ({record})", "add {wanted}"),
    Reason.CRITICAL_UNKNOWN: ("have a critical property that CAs do not know", "remove {record}"),
}
