"""Hostnames: the one normal form that the API, the DNS verifier, SDS and ext_authz agree on.

The normal form is lower-case A-labels (IDNA 2008 after the mapping of UTS 46), at most 253 characters, LDH
labels of 1 to 63, at least one dot, no trailing dot, no port. A wildcard is the whole left-most label.

This file does no I/O. It does not know whether a name exists, who owns it, or which HTTP status a refusal is.

`parse_hostname` is for people's input: it explains each refusal. The first broken rule gives the answer, so
that a URL is called a URL rather than a bad label, and a rule of the DNS comes before one of this platform:

|    | code                    | refused (examples)                                                          |
| -- | ----------------------- | --------------------------------------------------------------------------- |
|  1 | hostname_empty          | nothing                                                                     |
|  2 | hostname_too_long       | more than 1,024 characters as given (bounds the work)                       |
|  3 | control_character       | NUL, CR, LF, tab, any space                                                 |
|  4 | has_scheme_or_path      | `https://shop.example.com`, `shop.example.com/`, `me@example.com`           |
|  5 | ip_address              | `192.0.2.1:80`, `[::1]`, `127.1`, `0x7f.1`, `2130706433`, `shop.123`        |
|  6 | has_port                | `shop.example.com:443`                                                      |
|  7 | hostname_not_ascii_idna | what UTS 46 cannot map; then 3 to 6 again for what the input became         |
|  8 | hostname_empty          | only a dot or code points that UTS 46 ignores; one final dot is dropped     |
|  9 | hostname_too_long       | more than 253 characters, counted as A-labels too (RFC 1035 section 2.3.4)  |
| 10 | wildcard_misplaced      | `*`, `a.*.example.com`, `a*.example.com`                                    |
| 11 | label_empty             | `a..example.com`, `.example.com`; 11 to 14 go label by label from the left  |
| 12 | label_too_long          | a label of more than 63 octets as an A-label                                |
| 13 | label_invalid           | `a_b.example.com`, `-a.example.com`, `ab--c.example.com` (RFC 5891 4.2.3.1) |
| 14 | hostname_not_ascii_idna | `xn--a.example.com`: not the one spelling of a valid IDNA 2008 label        |
| 15 | localhost               | `localhost`, `a.localhost` (RFC 6761 section 6.3)                           |
| 16 | platform_domain         | the platform's own domain and the names below it                            |
| 17 | blocked_suffix          | likewise for the suffixes in the operator's settings                        |
| 18 | wildcard_public_suffix  | `*.co.uk`, `*.com`                                                          |
| 19 | single_label            | `intranet`, `com`                                                           |
| 20 | public_suffix           | `co.uk`, `github.io`                                                        |
| 21 | platform_domain,        | a wildcard that covers a name of rule 16 or 17                              |
|    | blocked_suffix          |                                                                             |
| 22 | wildcard_not_allowed    | `*.example.com` where wildcards are not accepted                            |

`normalize_sni` and `normalize_host_header` are for the data path: cheap, silent, and they never raise. They
accept a superset (reserved labels, say); for a name that `parse_hostname` accepts the result is the same.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum

import idna

from core.errors import NameplateError
from core.public_suffix import PublicSuffixes

# RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text without the final dot.
MAX_HOSTNAME_LENGTH = 253
MAX_LABEL_LENGTH = 63
# Text before mapping may be longer than the name it becomes (decomposed letters, ignored code points).
# The same figure as the `idna` package's own bound.
MAX_INPUT_LENGTH = 1024


class HostnameCode(StrEnum):
    """Why a hostname was refused; the module's docstring has the order and examples."""

    HOSTNAME_EMPTY = "hostname_empty"
    HOSTNAME_TOO_LONG = "hostname_too_long"
    CONTROL_CHARACTER = "control_character"
    HAS_SCHEME_OR_PATH = "has_scheme_or_path"
    IP_ADDRESS = "ip_address"
    HAS_PORT = "has_port"
    HOSTNAME_NOT_ASCII_IDNA = "hostname_not_ascii_idna"
    WILDCARD_MISPLACED = "wildcard_misplaced"
    LABEL_EMPTY = "label_empty"
    LABEL_TOO_LONG = "label_too_long"
    LABEL_INVALID = "label_invalid"
    LOCALHOST = "localhost"
    PLATFORM_DOMAIN = "platform_domain"
    BLOCKED_SUFFIX = "blocked_suffix"
    WILDCARD_PUBLIC_SUFFIX = "wildcard_public_suffix"
    SINGLE_LABEL = "single_label"
    PUBLIC_SUFFIX = "public_suffix"
    WILDCARD_NOT_ALLOWED = "wildcard_not_allowed"


class HostnameError(NameplateError):
    """A hostname was refused. The message never repeats the input, so it may be logged as it is."""

    def __init__(self, code: HostnameCode | str, message: str) -> None:
        super().__init__(HostnameCode(code).value, message)


@dataclass(frozen=True, slots=True)
class HostnameRules:
    """What this platform refuses beyond the syntax. Make one at start: it loads the Public Suffix List.

    `platform_domain` and `blocked_suffixes` are put into normal form and refused with all names below them.
    Raises HostnameError if one of them is not a hostname.
    """

    platform_domain: str
    blocked_suffixes: tuple[str, ...] = ()
    public_suffixes: PublicSuffixes = field(default_factory=PublicSuffixes, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "platform_domain", _suffix(self.platform_domain))
        object.__setattr__(self, "blocked_suffixes", tuple(map(_suffix, self.blocked_suffixes)))


def parse_hostname(text: str, *, allow_wildcard: bool = False, rules: HostnameRules) -> str:
    """The normal form of `text`, as a person or a program wrote it. Raises HostnameError and nothing else."""
    hostname = _normal_form(text)
    base = hostname.removeprefix("*.")
    wildcard = base != hostname
    code = HostnameCode
    if _is_in("localhost", base):
        raise HostnameError(code.LOCALHOST, "localhost and the names below it mean the machine itself.")
    if _is_in(rules.platform_domain, base):
        raise HostnameError(code.PLATFORM_DOMAIN, "This name belongs to the platform itself.")
    if any(_is_in(suffix, base) for suffix in rules.blocked_suffixes):
        raise HostnameError(code.BLOCKED_SUFFIX, "The platform does not accept names in this domain.")
    public_suffix = rules.public_suffixes.is_suffix(base)
    if wildcard and public_suffix:
        raise HostnameError(code.WILDCARD_PUBLIC_SUFFIX, "No wildcard may be directly under a public suffix.")
    if "." not in base:
        raise HostnameError(code.SINGLE_LABEL, "A hostname needs at least one dot, as in shop.example.com.")
    if public_suffix:
        raise HostnameError(code.PUBLIC_SUFFIX, "Many owners share this public suffix; use a name below it.")
    if wildcard and _parent(rules.platform_domain) == base:
        raise HostnameError(code.PLATFORM_DOMAIN, "This wildcard covers the platform's own domain.")
    if wildcard and base in map(_parent, rules.blocked_suffixes):
        raise HostnameError(code.BLOCKED_SUFFIX, "This wildcard covers a name that is not accepted here.")
    if wildcard and not allow_wildcard:
        raise HostnameError(code.WILDCARD_NOT_ALLOWED, "Wildcard names are not accepted here.")
    return hostname


def registered_domain(hostname: str, *, rules: HostnameRules) -> str:
    """The registered domain (eTLD+1) of a hostname in normal form: what a CA counts its weekly limit by."""
    return rules.public_suffixes.registered_domain(hostname.removeprefix("*."))


# One label, without a hyphen at its ends; possessive, since there is nothing to backtrack for. (A group is not: Python
# before 3.11.5 matches possessive groups wrongly, https://github.com/python/cpython/issues/106052.) The last label is
# not a number: browsers (WHATWG URL, "ends in a number") and inet_aton read such a host as an IPv4 address.
_LABEL = r"(?!-)[a-z0-9-]{1,63}+(?<!-)"
_NUMBER = r"(?:[0-9]+|0x[0-9a-f]*)"
_data_path_name = re.compile(rf"(?:{_LABEL}\.)+(?!{_NUMBER}\Z){_LABEL}").fullmatch
_port = re.compile(r":[0-9]{0,5}\Z")


def normalize_sni(name: str) -> str | None:
    """The directory key for an SNI, or None: no IP literal, no final dot (RFC 6066 section 3). Never raises."""
    if len(name) > MAX_HOSTNAME_LENGTH:
        return None
    if _data_path_name(name) is not None:
        return name
    # Only ASCII may be lowered: U+212A KELVIN SIGN would become "k".
    if not name.isascii():
        return None
    lowered = name.lower()
    return lowered if _data_path_name(lowered) is not None else None


def normalize_host_header(host: str) -> str | None:
    """The directory key for a Host or :authority, or None. A port or final dot may follow. Never raises."""
    if len(host) > MAX_HOSTNAME_LENGTH + len(".:65535"):
        return None
    if len(host) <= MAX_HOSTNAME_LENGTH and _data_path_name(host) is not None:
        return host
    return normalize_sni(_port.sub("", host, count=1).removesuffix("."))


_space_or_control = re.compile(r"[\s\x00-\x1f\x7f-\x9f]").search
_url_character = re.compile(r"[/\\?#@]").search
_name_and_port = re.compile(r"([^:]*):[0-9]*").fullmatch
_ends_in_number = re.compile(rf"(?:.*\.)?{_NUMBER}\.?", re.IGNORECASE).fullmatch
_not_ldh = re.compile(r"[^a-z0-9\x80-\U0010ffff-]").search


def _normal_form(text: str) -> str:
    """Rules 1 to 14: the syntax, which is the same on every platform."""
    code = HostnameCode
    if not text:
        raise HostnameError(code.HOSTNAME_EMPTY, "The hostname is empty.")
    if len(text) > MAX_INPUT_LENGTH:
        raise _too_long()
    _check_bare(text)
    try:
        mapped = idna.uts46_remap(text, std3_rules=False)
    except idna.IDNAError as error:
        raise _not_idna(error) from None
    if mapped != text:
        _check_bare(mapped)
    name = mapped.removesuffix(".")
    if not name:
        raise HostnameError(code.HOSTNAME_EMPTY, "The hostname is empty.")
    if len(name) > MAX_HOSTNAME_LENGTH:
        raise _too_long()
    base = name.removeprefix("*.")
    if "*" in base:
        raise HostnameError(code.WILDCARD_MISPLACED, "* may only be the whole left-most label.")
    hostname = name[: len(name) - len(base)] + ".".join(map(_a_label, base.split(".")))
    if len(hostname) > MAX_HOSTNAME_LENGTH:
        raise _too_long()
    return hostname


def _suffix(text: str) -> str:
    name = _normal_form(text)
    if name.startswith("*"):
        raise HostnameError(HostnameCode.WILDCARD_MISPLACED, "Suffixes in the settings have no wildcard.")
    return name


def _check_bare(text: str) -> None:
    """Rules 3 to 6: what people paste instead of a hostname."""
    code = HostnameCode
    if found := _space_or_control(text):
        raise HostnameError(
            code.CONTROL_CHARACTER, f"{_code_point(found[0])} is in it; give letters, digits, hyphens and dots."
        )
    if _url_character(text):
        raise HostnameError(code.HAS_SCHEME_OR_PATH, "Give the hostname alone: no scheme, path or user.")
    with_port = _name_and_port(text)
    if _is_ipv6(text) or _ends_in_number(with_port[1] if with_port else text):
        raise HostnameError(
            code.IP_ADDRESS,
            "This is an IP address, or its last label is a number and browsers read it as one.",
        )
    if with_port:
        raise HostnameError(code.HAS_PORT, "Give the hostname alone, without a port.")


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2:
        return False
    try:
        ipaddress.IPv6Address(text[1:].partition("]")[0] if text.startswith("[") else text)
    except ValueError:
        return False
    return True


def _a_label(label: str) -> str:
    """Rules 11 to 14, for one mapped label."""
    code = HostnameCode
    if not label:
        raise HostnameError(code.LABEL_EMPTY, "There is nothing between two dots, or before the first one.")
    if label.isascii() and len(label) > MAX_LABEL_LENGTH:
        raise _label_too_long()
    if found := _not_ldh(label):
        raise HostnameError(
            code.LABEL_INVALID,
            "Underscores are not allowed in a hostname, only in the names of DNS records such as TXT."
            if found[0] == "_"
            else f"The character {_code_point(found[0])} is not allowed; use letters, digits and hyphens.",
        )
    if label.startswith("-") or label.endswith("-"):
        raise HostnameError(code.LABEL_INVALID, "A label may not start or end with a hyphen.")
    if label[2:4] == "--" and not label.startswith("xn--"):
        raise HostnameError(code.LABEL_INVALID, "A label may not have -- as its third and fourth character.")
    try:
        # An A-label is checked too: it must be the one spelling of a valid U-label.
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError as error:
        raise (_label_too_long() if error.code == "label_too_long" else _not_idna(error)) from None


def _is_in(suffix: str, name: str) -> bool:
    return name == suffix or name.endswith("." + suffix)


def _parent(name: str) -> str:
    return name.partition(".")[2]


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def _too_long() -> HostnameError:
    return HostnameError(HostnameCode.HOSTNAME_TOO_LONG, "A hostname has at most 253 characters.")


def _label_too_long() -> HostnameError:
    return HostnameError(HostnameCode.LABEL_TOO_LONG, "A label has at most 63 characters, counted in its xn-- form.")


def _not_idna(error: idna.IDNAError) -> HostnameError:
    rule = (error.code or "invalid").replace("_", " ")
    where = "" if error.codepoint is None else f", U+{error.codepoint:04X}"
    return HostnameError(
        HostnameCode.HOSTNAME_NOT_ASCII_IDNA, f"This is not a valid internationalised name ({rule}{where})."
    )
