"""The certificates of a domain: what is uploaded, and what is shown of it.

What is PEM has its bound in its description, and a code of its own for what is longer, rather than a maxLength: whoever
makes requests from the schema would make megabytes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.schemas.schema import CODE, COUNT, HEX, ID, MOMENT, TEXT, Schema, array, closed, or_null, reference
from core.upload import MAX_CHAIN, MAX_KEY

FACTS: Mapping[str, Any] = {
    "serial": HEX,
    "issuer": {**TEXT, "description": "Its common name, or the whole of its name."},
    "fingerprint": {**HEX, "minLength": 64, "maxLength": 64, "description": "SHA-256 of the leaf."},
    "notBefore": MOMENT,
    "notAfter": MOMENT,
}
SOURCE: Schema = {"type": "string", "enum": ["uploaded", "managed"]}

WARNING: Schema = closed(
    {
        "code": CODE,
        "message": TEXT,
        "days": {**COUNT, "description": "Whole days that are left."},
    }
)

SCHEMAS: Mapping[str, Schema] = {
    "NewCertificate": closed(
        {
            "certificate": {
                "type": "string",
                "minLength": 1,
                "description": "The leaf and what issued it, in PEM, in any order; a root may be left out. At most "
                f"{MAX_CHAIN // 1024} KB.",
            },
            "privateKey": {
                "type": "string",
                "minLength": 1,
                "writeOnly": True,
                "description": "The leaf's key, in PEM, without a passphrase: RSA of 2048 to 4096 bits, ECDSA P-256 or "
                f"P-384. At most {MAX_KEY // 1024} KB.",
            },
        },
        examples=[{"certificate": examples.CHAIN_PEM, "privateKey": examples.KEY_PEM}],
    ),
    "UploadedCertificate": closed(
        {
            **FACTS,
            "names": array(TEXT),
            "uploadedAt": MOMENT,
            "servedUntil": {
                **MOMENT,
                "description": "Then the managed certificate takes over; where there is none, at notAfter.",
            },
            "warning": or_null(reference("CertificateWarning")),
        }
    ),
    "CertificateWarning": {**WARNING, "description": "There is something to do about the uploaded certificate."},
    "DomainCertificates": closed(
        {
            "id": ID,
            "hostname": {"type": "string", "maxLength": 253},
            "inUse": {
                "type": ["string", "null"],
                "enum": [*SOURCE["enum"], None],
                "description": "Which is served, or will be once the domain is proven.",
            },
            "serving": {"type": "boolean", "description": "Whether the domain is proven, and it is served."},
            "uploaded": or_null(reference("UploadedCertificate")),
            "managed": or_null(closed(FACTS)),
        },
        examples=[examples.CERTIFICATES],
    ),
}
