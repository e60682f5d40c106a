"""What a tenant can do with a certificate of its own for a domain."""

from __future__ import annotations

from api.operations.operation import BODY, EVERYWHERE, QUERY, UPLOADED, Operation, Success

_UPLOADS = (*EVERYWHERE, *QUERY, "uploads_unavailable", "domain_not_found")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="putCertificate",
        method="PUT",
        path="/domains/{id}/certificate",
        summary="Bring your own certificate",
        description="It is served instead of the managed one as long as it is valid, and replaces one that was "
        "uploaded before without a dropped connection. The key cannot be read back. The same upload again changes "
        "nothing. For a domain that is not proven yet it is kept, and served once that is proven; a failed domain is "
        "looked at again.",
        parameters=("id", "X-Request-Id"),
        body="NewCertificate",
        successes={
            200: Success("It replaced the one before, or was there already.", "DomainCertificates"),
            201: Success("There was none before.", "DomainCertificates"),
        },
        problems=(
            *_UPLOADS,
            *(code for code in BODY if code != "body_too_large"),
            *UPLOADED,
            "certificate_wrong_name",
            "upload_overtaken",
            "uploads_too_many",
            "keys_not_kept",
        ),
    ),
    Operation(
        name="getCertificate",
        method="GET",
        path="/domains/{id}/certificate",
        summary="Show a domain's certificates, and which is in use",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("Both of them.", "DomainCertificates")},
        problems=_UPLOADS,
        head=True,
    ),
    Operation(
        name="deleteCertificate",
        method="DELETE",
        path="/domains/{id}/certificate",
        summary="Withdraw the uploaded certificate",
        description="Back to the managed one. If there is none, the domain has no certificate until there is. The key "
        "is destroyed; the certificate is not revoked, which is between you and its CA.",
        parameters=("id", "X-Request-Id"),
        successes={204: Success("Withdrawn.")},
        problems=(*_UPLOADS, "certificate_not_uploaded"),
    ),
)
