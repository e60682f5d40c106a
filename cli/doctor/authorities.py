"""What control asks of others by HTTP: the CAs' directories, and the keys of the platform's tokens."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx

from api.jwks import KeySetError, KeysUnavailable, KeyUrl, parse_key_set
from cli.doctor.finding import Finding, found, well
from control.acme.ca import Ca
from control.acme.directory import Directory
from control.settings import ControlSettings

WITHIN = 10.0
CAS = "ACME directory"
KEYS = "keys of tenants' tokens"


def client(ca: Ca) -> httpx.AsyncClient:
    """With trust in the CA's directory. Raises OSError for a ca_file that cannot be used."""
    return httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca.ca_file), timeout=WITHIN, trust_env=False)


async def directories(settings: ControlSettings) -> Sequence[Finding]:
    """Each CA's directory can be read, and offers what the settings want of it."""
    variable = "NAMEPLATE_ACME_CAS_FILE" if settings.acme_cas else "NAMEPLATE_ACME_DIRECTORY_URL"
    findings = [finding for ca in settings.cas if (finding := await _directory(ca, variable))]
    number = len(settings.cas)
    return findings or [well(CAS, "answers" if number == 1 else f"all {number} answer")]


async def _directory(ca: Ca, variable: str) -> Finding | None:
    try:
        async with client(ca) as http:
            answer = await http.get(ca.directory_url)
        offers = Directory.from_json(answer.json()) if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, OSError, ValueError) as error:
        seen = f"{ca.name}: {str(error) or type(error).__name__}"
        return found("ca_unreachable", CAS, seen, variable=variable)
    if offers is None or "newOrder" not in offers.urls:
        seen = f"{ca.name}: answered {answer.status_code}, no directory"
        return found("ca_unreachable", CAS, seen, variable=variable)
    if ca.profile is not None and ca.profile not in offers.meta.profiles:
        listed = ", ".join(offers.meta.profiles) or "none"
        seen = f"{ca.name}: no profile {ca.profile}, it offers: {listed}"
        return found("ca_profile_unknown", CAS, seen, variable=variable)
    if offers.meta.external_account_required and not ca.eab:
        return found("ca_wants_binding", CAS, f"{ca.name}: asks for an external account binding")
    return None


async def token_keys(settings: ControlSettings) -> Sequence[Finding]:
    """Without them every request to the API is refused."""
    variable = "NAMEPLATE_JWT_JWKS_URL" if settings.jwt_jwks_url else "NAMEPLATE_JWT_JWKS_FILE"
    try:
        if settings.jwt_jwks_url:
            source = KeyUrl(settings.jwt_jwks_url)
            try:
                keys = await source.keys()
            finally:
                await source.close()
        else:
            keys = parse_key_set((settings.jwt_jwks_file or Path()).read_bytes())
    except KeysUnavailable:
        return [found("token_keys_missing", KEYS, "none could be fetched", variable=variable)]
    except (OSError, ValueError, KeySetError) as error:
        return [found("token_keys_missing", KEYS, str(error), variable=variable)]
    return [well(KEYS, f"{len(keys)} found")]
