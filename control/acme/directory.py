"""A CA's directory and what it says of itself there (RFC 8555 section 7.1.1; profiles: draft-ietf-acme-profiles).

This file does no I/O. `from_json` raises NotAcme, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from control.acme.order import NotAcme

MOST = 100  # profiles, and CAA identities: what is beyond is left out
MAX_TEXT = 500  # characters of a URL or a profile's description
_PROFILE = re.compile(r"[\x21-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class Meta:
    """`profiles`: descriptions by name. `caa_identities`: lower-case. What is unreadable is as if it were not there."""

    terms_of_service: str | None = None
    website: str | None = None
    caa_identities: tuple[str, ...] = ()
    external_account_required: bool = False
    profiles: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: object) -> Meta:
        """Never raises: none of this is needed to get a certificate."""
        if not isinstance(fields, dict):
            return cls()
        identities, profiles = fields.get("caaIdentities"), fields.get("profiles")
        return cls(
            terms_of_service=url_or_none(fields.get("termsOfService")),
            website=url_or_none(fields.get("website")),
            caa_identities=tuple(
                one.lower().removesuffix(".") for one in identities[:MOST] if isinstance(one, str) and one
            )
            if isinstance(identities, list)
            else (),
            external_account_required=fields.get("externalAccountRequired") is True,
            profiles={
                name: text[:MAX_TEXT] if isinstance(text, str) else ""
                for name, text in list(profiles.items())[:MOST]
                if _PROFILE.fullmatch(name)
            }
            if isinstance(profiles, dict)
            else {},
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """`urls`: of the resources, by their names in the directory."""

    urls: Mapping[str, str]
    meta: Meta

    @classmethod
    def from_json(cls, fields: object) -> Directory:
        if not isinstance(fields, dict):
            raise NotAcme("a directory that is not a JSON object")
        urls = {name: url for name, url in fields.items() if url_or_none(url)}
        return cls(urls, Meta.from_json(fields.get("meta")))


def url_or_none(value: object) -> str | None:
    """The value, if it is an http or https URL of a sensible length."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return None
    try:
        url = urlsplit(value)
    except ValueError:
        return None
    return value if url.scheme in ("http", "https") and url.netloc else None
