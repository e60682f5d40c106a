"""OpenBao's PKI engine as a certificate authority: its ACME directory, and certificates issued without ACME.

A root and an intermediate, both ECDSA P-256, so that a chain has the shape a public CA gives.
ACME by OpenBao validates HTTP-01 on port 80 always, whatever the client says; DNS goes to the given resolver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from embedded.openbao import OpenBao

MOUNT = "pki"
ISSUE_ROLE = "platform"
TEN_YEARS = "87600h"
FIVE_YEARS = "43800h"
NINETY_DAYS = "2160h"
# ACME's own headers, which OpenBao drops unless the mount is tuned (RFC 8555 sections 6.5.1, 7.1, 7.4.2).
RESPONSE_HEADERS = ["Last-Modified", "Location", "Replay-Nonce", "Link", "Retry-After"]


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """`chain_pem` is the leaf, then the intermediate; `key_pem` is PKCS #8."""

    chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pki:
    """A certificate authority inside an OpenBao server."""

    openbao: OpenBao
    directory_url: str
    root_pem: str

    @classmethod
    async def enable(cls, openbao: OpenBao, *, dns_resolver: str, ttl: str = NINETY_DAYS) -> Pki:
        """Mount and configure the engine with its ACME directory on.

        `dns_resolver` is the `host:port` that ACME validation asks. `ttl` is the lifetime of what is issued
        (ACME itself allows 90 days at most). Raises `ServerFailed`.
        """
        request = openbao.request
        base = f"{openbao.url}/v1/{MOUNT}"
        await request("POST", f"sys/mounts/{MOUNT}", {"type": "pki"})
        tuning = {
            "default_lease_ttl": ttl,
            "max_lease_ttl": TEN_YEARS,
            "allowed_response_headers": RESPONSE_HEADERS,
            "passthrough_request_headers": ["If-Modified-Since"],
        }
        await request("POST", f"sys/mounts/{MOUNT}/tune", tuning)
        await request("POST", f"{MOUNT}/config/cluster", {"path": base, "aia_path": base})

        key = {"key_type": "ec", "key_bits": 256}
        root = await request(
            "POST",
            f"{MOUNT}/root/generate/internal",
            {"common_name": "Embedded Root", "issuer_name": "root", "ttl": TEN_YEARS, **key},
        )
        csr = await request("POST", f"{MOUNT}/intermediate/generate/internal", {"common_name": "Embedded CA", **key})
        signed = await request(
            "POST",
            f"{MOUNT}/issuer/root/sign-intermediate",
            {"csr": csr["data"]["csr"], "common_name": "Embedded CA", "ttl": FIVE_YEARS},
        )
        imported = await request(
            "POST", f"{MOUNT}/intermediate/set-signed", {"certificate": signed["data"]["certificate"]}
        )
        await request("POST", f"{MOUNT}/config/issuers", {"default": imported["data"]["imported_issuers"][0]})

        role = {
            "allow_any_name": True,
            "allow_wildcard_certificates": True,
            "require_cn": False,
            "ttl": ttl,
            **key,
        }
        await request("POST", f"{MOUNT}/roles/{ISSUE_ROLE}", role)
        acme = {"enabled": True, "dns_resolver": dns_resolver, "eab_policy": "not-required"}
        await request("POST", f"{MOUNT}/config/acme", acme)
        return cls(openbao=openbao, directory_url=f"{base}/acme/directory", root_pem=root["data"]["certificate"])

    async def issue(self, names: Sequence[str]) -> IssuedCertificate:
        """Issue a certificate for DNS names (wildcards allowed) directly, without proof of control."""
        answer = await self.openbao.request(
            "POST",
            f"{MOUNT}/issue/{ISSUE_ROLE}",
            {"alt_names": ",".join(names), "private_key_format": "pkcs8", "remove_roots_from_chain": True},
        )
        data = answer["data"]
        chain = [data["certificate"], *data["ca_chain"]]
        return IssuedCertificate(chain_pem="\n".join(chain) + "\n", key_pem=data["private_key"] + "\n")
