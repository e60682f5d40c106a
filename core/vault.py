"""Where things are in Vault (KV v2), and which policy lets whom at them. Every path is built here and nowhere else.

    {mount}/data/nameplate/certs/{domain_id}     chain, key, serial, not_after: what Envoy serves
    {mount}/data/nameplate/uploads/{domain_id}   the same, of the certificate that its tenant has uploaded
    {mount}/data/nameplate/upstream/{name}       the same, of an identity that upstream services are shown
    {mount}/data/nameplate/platform/default      the same, for the platform's own wildcard certificate
    {mount}/data/nameplate/pending/{domain_id}   the key of an order that is under way
    {mount}/data/nameplate/acme/{directory}      the ACME account key of a CA, by a digest of its directory URL
    {mount}/data/nameplate/eab/{directory}       its external account binding, from the operator: key_id, hmac
    {mount}/data/nameplate/notifications/{endpoint}   what a webhook's messages are signed with
    {mount}/data/nameplate/ui/signing            what hand-over links to the pages are signed with
    {mount}/data/nameplate/audit/checkpoint      number and hash of the audit log's last checkpoint

Paths are given without the mount and without `data/`, as KV v2 clients want them.
Source: https://openbao.org/api-docs/secret/kv/kv-v2/
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from core.service import is_name

ROOT = "nameplate"
DEFAULT_CERTIFICATE = f"{ROOT}/platform/default"
UI_SIGNING = f"{ROOT}/ui/signing"
AUDIT_CHECKPOINT = f"{ROOT}/audit/checkpoint"


def kind(path: str) -> str:
    """What lies at a path, without whose it is: `certs`, `pending`, `acme`."""
    return path.partition("/")[2].partition("/")[0]


def certificate_path(domain_id: UUID) -> str:
    return f"{ROOT}/certs/{UUID(str(domain_id))}"


def upload_path(domain_id: UUID) -> str:
    return f"{ROOT}/uploads/{UUID(str(domain_id))}"


def identity_path(name: str) -> str:
    """Raises ValueError for what is no name of an identity."""
    if not is_name(name):
        raise ValueError("not the name of an identity")
    return f"{ROOT}/upstream/{name}"


def pending_key_path(domain_id: UUID) -> str:
    return f"{ROOT}/pending/{UUID(str(domain_id))}"


def acme_account_path(directory_url: str) -> str:
    return f"{ROOT}/acme/{_digest(directory_url)}"


def eab_path(directory_url: str) -> str:
    return f"{ROOT}/eab/{_digest(directory_url)}"


def _digest(directory_url: str) -> str:
    return hashlib.sha256(directory_url.encode()).hexdigest()[:32]


def signing_secret_path(endpoint_id: UUID) -> str:
    return f"{ROOT}/notifications/{UUID(str(endpoint_id))}"


def control_policy(mount: str) -> str:
    """The HCL policy of control: it may write and destroy, not list.

    It may neither change what the operator put there nor make the audit log's checkpoints forgotten.
    """
    return f"""\
path "{mount}/data/{ROOT}/*" {{
  capabilities = ["create", "read", "update"]
}}
path "{mount}/metadata/{ROOT}/*" {{
  capabilities = ["read", "delete"]
}}
path "{mount}/data/{ROOT}/eab/*" {{
  capabilities = ["read"]
}}
path "{mount}/metadata/{ROOT}/eab/*" {{
  capabilities = ["read"]
}}
path "{mount}/metadata/{ROOT}/audit/*" {{
  capabilities = ["read"]
}}
"""


def sidecar_policy(mount: str) -> str:
    """The HCL policy of the sidecar: it may read certificates, and neither account nor pending keys."""
    return f"""\
path "{mount}/data/{ROOT}/certs/*" {{
  capabilities = ["read"]
}}
path "{mount}/data/{ROOT}/uploads/*" {{
  capabilities = ["read"]
}}
path "{mount}/data/{ROOT}/upstream/*" {{
  capabilities = ["read"]
}}
path "{mount}/data/{ROOT}/platform/*" {{
  capabilities = ["read"]
}}
"""
