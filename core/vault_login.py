"""How a process shows Vault who it is: what each method asks of Vault, and where its secret lies.

    AppRole      POST auth/{mount}/login {role_id, secret_id}   the secret id from a file is read at each login
    Kubernetes   POST auth/{mount}/login {role, jwt}            the service account's token is read at each login
    TokenFile    nothing: the file's token is used as it is     the file is read again when it is another, or refused

The two clients (control.vault, sidecar.certs.vault) send what they are given here. The token of a file belongs to who
writes it, Vault Agent as a rule: it is renewed there and never by us, so that a token whose keeper has died ends when
its time is over, and nobody keeps it alive unseen.

Sources: https://openbao.org/api-docs/auth/approle/, https://openbao.org/api-docs/auth/kubernetes/,
https://openbao.org/docs/agent-and-proxy/autoauth/sinks/file/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
LONGEST: Final = 1 << 16  # octets of a secret in a file; Vault's batch tokens have some hundreds, a JWT some thousands
TOKEN_TEXT: Final = re.compile(r"[!-~]+")  # it goes into a header


class LoginUnreadable(Exception):
    """What the process would log in with cannot be had. The text says what and why, never a part of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """To be sent by POST to /v1/`path`, without a token. The answer's `auth` is what it is about."""

    path: str
    body: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class GivenToken:
    """To be used as it is; when it ends is not known."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppRole:
    """`secret_id` is called at each login, as a rotated one may lie in a file. It raises OSError when there is none."""

    MOUNT: ClassVar[str] = "approle"

    role_id: str
    secret_id: Callable[[], str] = field(repr=False)
    mount: str = MOUNT

    def next(self) -> Request:
        """Raises LoginUnreadable."""
        try:
            secret_id = self.secret_id()
        except (OSError, UnicodeDecodeError) as error:
            raise LoginUnreadable(f"its secret id cannot be read: {_why(error)}") from None
        return Request(f"auth/{self.mount.strip('/')}/login", {"role_id": self.role_id, "secret_id": secret_id})

    def mark(self) -> Hashable:
        return None


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """`token_file`: a projected service account token, which the kubelet replaces long before it ends."""

    MOUNT: ClassVar[str] = "kubernetes"

    role: str
    token_file: Path = SERVICE_ACCOUNT_TOKEN
    mount: str = MOUNT

    def next(self) -> Request:
        """Raises LoginUnreadable."""
        jwt = _token(self.token_file, "the service account's token")
        return Request(f"auth/{self.mount.strip('/')}/login", {"role": self.role, "jwt": jwt})

    def mark(self) -> Hashable:
        return None


@dataclass(frozen=True, slots=True)
class TokenFile:
    """`file`: a sink of Vault Agent, or whatever else keeps a token there."""

    file: Path

    def next(self) -> GivenToken:
        """Raises LoginUnreadable."""
        return GivenToken(_token(self.file, "the token file"))

    def mark(self) -> Hashable:
        """Another value than before when the file was replaced or written to; None when it is not there."""
        try:
            facts = self.file.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


Login = AppRole | Kubernetes | TokenFile


def secret(file: Path) -> str:
    """A file's text without the white space around it. Raises OSError, UnicodeDecodeError."""
    with file.open("rb") as opened:
        return opened.read(LONGEST).decode().strip()


def _token(file: Path, what: str) -> str:
    try:
        text = secret(file)
    except (OSError, UnicodeDecodeError) as error:
        raise LoginUnreadable(f"{what} cannot be read: {_why(error)}") from None
    if text.startswith("{"):
        raise LoginUnreadable(f"{what} holds JSON: a wrapped token is not taken")
    if TOKEN_TEXT.fullmatch(text) is None:
        raise LoginUnreadable(f"{what} is {'no token' if text else 'empty'}")
    return text


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not text"
