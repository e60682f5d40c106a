"""An identity provider in miniature: one ES256 key and the tokens it signs, for development and tests."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://identity.nameplate.test"
AUDIENCE = "nameplate"
ADMIN_SCOPE = "nameplate:admin"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    issuer: str
    audience: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, issuer: str = ISSUER, audience: str = AUDIENCE) -> IdentityProvider:
        """With a new key, which exists in this process only."""
        return cls(issuer, audience, ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_file(cls, path: Path, issuer: str = ISSUER, audience: str = AUDIENCE) -> IdentityProvider:
        """With the key of a PEM file, made (mode 0600) when there is none. Raises ValueError for another kind."""
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"{path} is not a P-256 key")  # noqa: TRY004 -- a bad file, not a bad call
        return cls(issuer, audience, key)

    @property
    def key_id(self) -> str:
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(public)
        return digest.finalize().hex()[:16]

    def jwks(self) -> str:
        """The public key as a JSON Web Key Set."""
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "ES256"}]}, indent=2)

    def token(self, tenant_id: UUID, subject: str = "developer", lifetime: int = 3600) -> str:
        """A signed JWT for the tenant, good for `lifetime` seconds."""
        return self._signed({"tenant_id": str(tenant_id)}, subject, lifetime)

    def operator_token(self, subject: str = "operator", lifetime: int = 3600) -> str:
        """A signed JWT for the platform's own people: of no tenant, and with the scope of the admin API."""
        return self._signed({"scope": ADMIN_SCOPE}, subject, lifetime)

    def _signed(self, claims: Mapping[str, str], subject: str, lifetime: int) -> str:
        now = int(time.time())
        standard = {"iss": self.issuer, "aud": self.audience, "sub": subject, "iat": now, "exp": now + lifetime}
        return jwt.encode({**standard, **claims}, self._key, algorithm="ES256", headers={"kid": self.key_id})
