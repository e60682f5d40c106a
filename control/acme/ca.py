"""The CAs that an operator has chosen, as one list in the order of preference. Read strictly; no I/O.

[[ca]]
name = "letsencrypt"                       # in logs, metrics and reports
directory_url = "https://acme-v02.api.letsencrypt.org/directory"
contact = "ops@platform.io"                # a mail address or a URL; may be left out, as all that follow
profile = "tlsserver"                      # one that the CA lists
ca_file = "/etc/nameplate/ca.pem"          # trust for the directory's own TLS; the system's if left out
eab = true                                 # key id and HMAC are in Vault, at core.vault.eab_path
caa_identities = ["letsencrypt.org"]       # instead of what the directory says of itself
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, ValidationError

from core.settings import HostnameSetting

MOST = 20  # CAs; there are fewer public ones


def directory_url(value: str) -> str:
    """Refuse what no request can be sent to, and what would show a secret in a log."""
    try:
        url = urlsplit(value)
        url.port  # noqa: B018 -- raises ValueError when it is none
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("https", "http") or not url.hostname or any(char.isspace() for char in value):
        raise ValueError("must be https://HOST/PATH")
    if "@" in url.netloc or url.fragment:
        raise ValueError("must have neither a user nor a fragment")
    return value


def contact(value: str) -> str:
    """A mail address, as the `mailto:` URL that the CA wants; other URLs, and an empty text, as they are."""
    if value and (not value.isascii() or any(char.isspace() for char in value)):
        raise ValueError("must be a mail address or a URL")
    if not value or ":" in value:
        return value
    user, at, host = value.partition("@")
    if not (user and at and host):
        raise ValueError("must be a mail address or a URL")
    return f"mailto:{value}"


DirectoryUrl = Annotated[str, AfterValidator(directory_url)]
Contact = Annotated[str, AfterValidator(contact)]


class Ca(BaseModel):
    """One CA. `caa_identities`: None takes those of the directory."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    directory_url: DirectoryUrl
    ca_file: Annotated[FilePath, Field(strict=False)] | None = None
    contact: Contact = ""
    profile: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")] | None = None
    eab: bool = False
    caa_identities: Annotated[tuple[HostnameSetting, ...], Field(strict=False, min_length=1)] | None = None


def read_list(text: str) -> Sequence[Ca]:
    """The file's CAs, first choice first. Raises ValueError, whose text names the place and quotes no value."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    entries = document.pop("ca", None)
    if document:
        raise ValueError(f"has {sorted(document)[0]!r} beside [[ca]], which means nothing here")
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise ValueError("has no [[ca]]")
    if len(entries) > MOST:
        raise ValueError(f"has more than {MOST} CAs")
    found = tuple(_read(number, entry) for number, entry in enumerate(entries, 1))
    for field in ("name", "directory_url"):
        values = [getattr(one, field) for one in found]
        if len(set(values)) < len(values):
            raise ValueError(f"has two CAs of one {field}")
    return found


def read_file(path: Path) -> Sequence[Ca]:
    """Raises ValueError, also for a file that cannot be read."""
    try:
        return read_list(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _read(number: int, entry: object) -> Ca:
    try:
        return Ca.model_validate(entry)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"[[ca]] number {number}: {place}: {text}") from None
