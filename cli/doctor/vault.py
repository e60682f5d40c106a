"""Vault as a process finds it: does it answer, does it take the login, is the mount what it should be, and may the
token do what the process does, and no more. A token that was made for the look is revoked after it.

Source: https://openbao.org/api-docs/system/ (health, capabilities-self, internal/ui/mounts), /auth/token/ (lookup-self)
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
from cryptography import x509

from cli.doctor.finding import Finding, found, well
from core.settings import VaultSettings
from core.vault import DEFAULT_CERTIFICATE
from core.vault_login import AppRole, GivenToken, Kubernetes, LoginUnreadable, TokenFile

WHAT = "Vault"
WITHIN = 5.0
SEALED = {501, 503}  # of sys/health: not initialised, sealed
SOON = 3600.0  # seconds
CERTIFICATE_SOON = timedelta(days=7)
STRANGERS = (
    "{mount}/data/somebody-else",
    "{mount}/metadata/somebody-else",
    "sys/policies/acl/nameplate",
    "sys/mounts/x",
)
VARIABLES = {
    AppRole: "NAMEPLATE_VAULT_ROLE_ID and …_SECRET_ID",
    Kubernetes: "NAMEPLATE_VAULT_KUBERNETES_ROLE and …_KUBERNETES_TOKEN_FILE",
    TokenFile: "NAMEPLATE_VAULT_TOKEN_FILE",
}

_rule = re.compile(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]')


@dataclass(frozen=True, slots=True)
class Subject:
    """`process`: control or sidecar. `policy`: its text by the mount. `bindings`: paths of CAs' own, by their names."""

    process: str
    policy: Callable[[str], str]
    bindings: Mapping[str, str]


class Session(NamedTuple):
    http: httpx.AsyncClient
    token: str
    ours: bool


def client(settings: VaultSettings) -> httpx.AsyncClient:
    """Raises OSError for a file of authorities that cannot be used."""
    verify: ssl.SSLContext | bool = True
    if settings.vault_addr.startswith("http://"):
        verify = False  # there is nothing to verify, and the system's authorities are slow to load
    elif settings.vault_ca_file is not None:
        verify = ssl.create_default_context(cafile=settings.vault_ca_file)
    headers = {"X-Vault-Request": "true"}
    if settings.vault_namespace is not None:
        headers["X-Vault-Namespace"] = settings.vault_namespace
    base = f"{settings.vault_addr.rstrip('/')}/v1/"
    return httpx.AsyncClient(base_url=base, verify=verify, headers=headers, timeout=WITHIN, trust_env=False)


async def examine(settings: VaultSettings, subject: Subject) -> Sequence[Finding]:
    try:
        async with client(settings) as http:
            health = await http.get("sys/health", headers={"X-Vault-Namespace": ""})
            if health.status_code in SEALED:
                return [found("vault_sealed", WHAT, f"sealed or not initialised ({health.status_code})")]
            return await _logged_in(http, settings, subject)
    except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        # An answer that is not Vault's leads to the last three. httpx names hosts and reasons, never what was sent.
        seen = str(error) if isinstance(error, httpx.HTTPError | OSError) else "an answer that is not Vault's"
        return [found("vault_unreachable", WHAT, seen or type(error).__name__)]


async def _logged_in(http: httpx.AsyncClient, settings: VaultSettings, subject: Subject) -> Sequence[Finding]:
    login = settings.vault_login()
    variable = VARIABLES[type(login)]
    try:
        request = login.next()
    except LoginUnreadable as error:
        return [found("vault_login_unreadable", WHAT, str(error), variable=variable)]
    if isinstance(request, GivenToken):
        session = Session(http, request.text, ours=False)
    else:
        answer = await http.post(request.path, json=dict(request.body))
        if answer.status_code != httpx.codes.OK:
            seen = f"{request.path} answered {answer.status_code}"
            return [found("vault_login_refused", WHAT, seen, variable=variable)]
        session = Session(http, str(answer.json()["auth"]["client_token"]), ours=True)
    http.headers["X-Vault-Token"] = session.token
    try:
        return await _session(session, settings, subject, variable)
    finally:
        if session.ours:
            await http.post("auth/token/revoke-self")


async def _session(session: Session, settings: VaultSettings, subject: Subject, variable: str) -> Sequence[Finding]:
    about = await session.http.get("auth/token/lookup-self")
    if about.status_code == httpx.codes.FORBIDDEN and not session.ours:
        return [found("vault_login_refused", WHAT, "the token of the file is refused", variable=variable)]
    findings = [*_token(about, session.ours, variable)]
    mount = await _mount(session.http, settings)
    if mount:
        return [*findings, *mount]
    return [
        *findings,
        *await _policy(session.http, settings, subject),
        *await _contents(session.http, settings, subject),
    ]


def _token(about: httpx.Response, ours: bool, variable: str) -> Sequence[Finding]:
    if about.status_code != httpx.codes.OK:
        return [found("vault_token_opaque", WHAT, f"lookup-self answered {about.status_code}")]
    data: Mapping[str, Any] = about.json()["data"]
    life, renewable = float(data["ttl"]), bool(data.get("renewable"))
    longest = float(data.get("explicit_max_ttl") or 0)
    if life == 0:
        seen = "logged in, the token does not end"
    else:
        seen = f"logged in, the token lives {_words(life)}" + (", renewable" if renewable else "")
        seen += f", {_words(longest)} at most" if longest else ""
    if not ours and life and life < SOON:
        mend = f"see that whoever writes {variable} does (Vault Agent: its log)"
        return [found("vault_token_ends", WHAT, seen, mend=mend)]
    if ours and life and life < 60:
        mend = "vault write auth/approle/role/ROLE token_ttl=1h (or the role of the method that is used)"
        return [found("vault_token_ends", WHAT, seen, mend=mend)]
    return [well(WHAT, seen)]


async def _mount(http: httpx.AsyncClient, settings: VaultSettings) -> Sequence[Finding]:
    mount = settings.vault_mount.strip("/")
    answer = await http.get(f"sys/internal/ui/mounts/{mount}")
    if answer.status_code != httpx.codes.OK:
        return [found("vault_mount_missing", WHAT, f"no engine at {mount}, or no policy for it", mount=mount)]
    data = answer.json()["data"]
    if data.get("type") != "kv" or (data.get("options") or {}).get("version") != "2":
        return [found("vault_mount_version", WHAT, f"{mount} is {data.get('type')}, not KV version 2", mount=mount)]
    return []


async def _policy(http: httpx.AsyncClient, settings: VaultSettings, subject: Subject) -> Sequence[Finding]:
    """By what the token may do at a path of each rule of the policy, and at paths that no rule is for."""
    what, mount = "Vault's policy", settings.vault_mount.strip("/")
    rules = dict(wanted(subject.policy(mount)))
    strangers = {path.format(mount=mount): frozenset[str]() for path in STRANGERS}
    asked = {**{rule.replace("*", "doctor"): rights for rule, rights in rules.items()}, **strangers}
    answer = await http.post("sys/capabilities-self", json={"paths": list(asked)})
    if answer.status_code != httpx.codes.OK:
        return [found("vault_token_opaque", what, f"capabilities-self answered {answer.status_code}")]
    facts = {"process": subject.process, "mount": mount}
    told = answer.json()["data"]
    findings = []
    for path, rights in asked.items():
        has = frozenset(told[path]) - {"deny"}
        if "root" in has:
            return [found("vault_policy_wide", what, "the token is root's", **facts)]
        if rights - has:
            findings.append(found("vault_policy_short", what, f"no {_list(rights - has)} at {path}", **facts))
        if has - rights:
            findings.append(found("vault_policy_wide", what, f"{_list(has - rights)} at {path}", **facts))
    return findings or [well(what, f"what {subject.process} does, and no more")]


def wanted(policy: str) -> Sequence[tuple[str, frozenset[str]]]:
    """The rules of a policy of core.vault: path, and what may be done there."""
    return [(path, frozenset(re.findall(r'"(\w+)"', rights))) for path, rights in _rule.findall(policy)]


async def _contents(http: httpx.AsyncClient, settings: VaultSettings, subject: Subject) -> Sequence[Finding]:
    mount = settings.vault_mount.strip("/")
    findings = [await _platform(http, mount)]
    for name, path in subject.bindings.items():
        if (await http.get(f"{mount}/data/{path}")).status_code == httpx.codes.NOT_FOUND:
            seen = f"{name}'s external account binding is not there"
            findings.append(found("eab_missing", "external account binding", seen, mount=mount, path=path))
    return findings


async def _platform(http: httpx.AsyncClient, mount: str) -> Finding:
    what, facts = "platform certificate", {"mount": mount, "path": DEFAULT_CERTIFICATE}
    answer = await http.get(f"{mount}/data/{DEFAULT_CERTIFICATE}")
    if answer.status_code != httpx.codes.OK:
        return found("platform_certificate_missing", what, "it is not there", **facts)
    try:
        data = answer.json()["data"]["data"]
        certificate = x509.load_pem_x509_certificates(str(data["chain"]).encode())[0]
        if not data["key"]:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        return found("platform_certificate_over", what, "it has no chain that can be read, or no key", **facts)
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    until = f"until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if left < CERTIFICATE_SOON:
        return found("platform_certificate_over", what, f"good {until}", **facts)
    return well(what, f"good {until}")


def _list(rights: frozenset[str]) -> str:
    return ", ".join(sorted(rights))


def _words(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds:.0f} s"
