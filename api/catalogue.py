"""Every code that the API can answer with: its status, its title, who must act, and what it means.

Only data. `api.problems` makes responses of it, `/problems` shows it, the OpenAPI document is drawn from it. Once
published a code keeps its meaning; `title` does not change from one occurrence to the next (RFC 9457 section 3.1.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Who = Literal["tenant", "operator", "ca", "nobody"]


@dataclass(frozen=True, slots=True)
class ProblemType:
    """`who` must act for the request to succeed; "nobody": it passes by itself. `retry_after`: seconds, for 503."""

    status: int
    title: str
    who: Who
    meaning: str
    retry_after: int | None = None


def _tenant(status: int, title: str, meaning: str) -> ProblemType:
    return ProblemType(status, title, "tenant", meaning)


def _operator(status: int, title: str, meaning: str) -> ProblemType:
    return ProblemType(status, title, "operator", meaning)


_HOSTNAMES = {
    "hostname_empty": ("The hostname is empty", "Nothing was given, or only a dot."),
    "hostname_too_long": ("The hostname is too long", "A hostname has at most 253 characters as A-labels (RFC 1035)."),
    "control_character": ("The hostname contains a space or control character", "NUL, CR, LF, tabs and spaces too."),
    "has_scheme_or_path": ("The hostname is a URL", "Send shop.example.com instead of https://shop.example.com/."),
    "ip_address": ("The hostname is an IP address", "Also the short and numeric spellings that browsers accept."),
    "has_port": ("The hostname has a port", "Send shop.example.com instead of shop.example.com:443."),
    "hostname_not_ascii_idna": ("The hostname is not valid IDNA", "IDNA 2008 refuses it after the mapping of UTS 46."),
    "wildcard_misplaced": ("The wildcard is in the wrong place", "* is the whole left-most label: *.example.com."),
    "label_empty": ("A label is empty", "There is nothing between two dots, or before the first one."),
    "label_too_long": ("A label is too long", "A label has at most 63 octets as an A-label (RFC 1035)."),
    "label_invalid": (
        "A label is not valid",
        "Letters, digits and inner hyphens only; no underscores; no -- in place 3.",
    ),
    "localhost": ("The hostname is localhost", "localhost and the names below it mean the machine itself (RFC 6761)."),
    "platform_domain": (
        "The hostname belongs to the platform",
        "The platform's domain and its subdomains are its own.",
    ),
    "blocked_suffix": ("The hostname is blocked", "The operator does not accept names in this domain."),
    "wildcard_public_suffix": ("The wildcard is too wide", "It would cover other owners' domains, as *.co.uk."),
    "single_label": ("The hostname has no dot", "Send a fully qualified name, as shop.example.com."),
    "public_suffix": (
        "The hostname is a public suffix",
        "Many owners share it (publicsuffix.org); use a name below it.",
    ),
    "wildcard_not_allowed": ("Wildcards are not accepted here", "Register each hostname."),
}

_TOKENS = {
    "token_missing": ("A bearer token is required", "Send Authorization: Bearer and a JWT."),
    "token_malformed": (
        "The token is malformed",
        "It is not a signed JWT in compact form, or has critical extensions.",
    ),
    "token_algorithm_refused": ("The token's algorithm is refused", "RS256, ES256 or EdDSA, with a key of that kind."),
    "token_unknown_key": ("The token's key is not known", "The issuer's key set has no key for it."),
    "token_bad_signature": ("The token's signature is wrong", "No key of the issuer made it."),
    "token_expired": ("The token has expired", "Get a new one."),
    "token_not_yet_valid": ("The token is not valid yet", "Its nbf claim is in the future."),
    "token_bad_issuer": ("The token is of another issuer", "Its iss claim is not the configured issuer."),
    "token_bad_audience": ("The token is for another audience", "Its aud claim does not name this API."),
    "token_bad_claim": (
        "A claim of the token is missing or wrong",
        "exp and sub are required; exp and nbf are numbers.",
    ),
    "token_no_tenant": ("The token names no tenant", "Its tenant claim is missing or not a UUID."),
}

# What a certificate is refused for when somebody uploads it (core.upload), in the order in which it is looked at.
_UPLOADS = {
    "pkcs12_not_supported": ("PKCS #12 is not supported", "Send the chain and the key as PEM."),
    "key_encrypted": ("The private key is encrypted", "Take the passphrase off before it is sent."),
    "key_not_readable": ("The private key is not readable", "It is one undamaged private key in PEM."),
    "key_weak": ("The private key is too weak", "RSA has at least 2048 bits, ECDSA is on P-256 or P-384."),
    "key_unsupported": (
        "The kind of private key is not supported",
        "RSA of 2048 to 4096 bits, or ECDSA P-256 or P-384; above it in the chain, at most 8192 bits.",
    ),
    "chain_unreadable": ("The chain is not readable", "There is no certificate in PEM in it, or a damaged one."),
    "key_mismatch": ("The private key is another certificate's", "It is the key of none of the certificates."),
    "certificate_expired": ("The certificate has expired", "Or it is about to, or the one that issued it has."),
    "certificate_not_yet_valid": ("The certificate is not valid yet", "Its time begins in the future."),
    "certificate_wrong_usage": ("The certificate is for something else", "Its key usages do not allow this one."),
    "certificate_must_staple": ("The certificate must be stapled", "No OCSP responses are stapled here."),
    "signature_weak": ("The chain is signed too weakly", "Neither MD5 nor SHA-1 proves anything."),
    "chain_incomplete": ("The chain is incomplete", "The certificate that issued the leaf is missing."),
    "chain_unrelated": ("The chain has a stranger in it", "One of the certificates has nothing to do with the leaf."),
    "certificate_wrong_name": ("The certificate is for another name", "Its names do not cover the hostname."),
}

# core.service, core.trust.
_SERVICES = {
    "name_invalid": ("The name is not valid", "1 to 63 of a-z, 0-9 and inner hyphens; a bundle is not called system."),
    "value_out_of_range": ("A value is out of range", "A number, or a list's length."),
    "value_unknown": ("A value is not known", "It is not one of those that the field can have."),
    "service_address_invalid": ("A host is no host", "It is neither an IP address nor a hostname."),
    "service_address_repeated": ("An address is given twice", "The same host and port."),
    "service_addresses_mixed": ("The addresses are mixed", "All are IP addresses, or all are hostnames."),
    "service_path_invalid": ("The path is not valid", "A health check's path begins with / and is visible ASCII."),
    "tls_name_invalid": ("A name is not valid", "A DNS name, an IP address, or a URI; the SNI is a DNS name."),
    "tls_names_missing": ("No name to check", "Say by sni or names whom the upstream's certificate must name."),
    "reference_invalid": ("The reference is no name", "A bundle or an identity is referred to by its name."),
    "service_unknown": ("The service is not known", "Describe it before it is chosen."),
    "trust_unknown": (
        "The bundle is not known",
        "Upload it first, or trust the system's; without a name it is default.",
    ),
    "identity_unknown": ("The identity is not known", "Upload it before it is referred to."),
    "trust_unreadable": ("The bundle is not readable", "PEM certificates and nothing else."),
    "trust_not_a_ca": ("A certificate is no authority's", "Its basic constraints do not let it sign others."),
    "trust_expired": ("The bundle has expired", "No certificate in it is valid any more."),
}

# What is refused of the authorities and lists that clients' certificates are held against (core.client_auth), of what
# they are to stand for (core.client_identity), and of the settings.
_CLIENT_AUTH = {
    "ca_too_large": ("The authorities are too large", "At most 64 KB and 20 certificates."),
    "ca_unreadable": ("The authorities are not readable", "They are one or more undamaged certificates in PEM."),
    "ca_is_a_leaf": (
        "A certificate is not an authority's",
        "Send what signs the clients' certificates, not one of them.",
    ),
    "ca_unsupported": (
        "An authority is not supported",
        "Its key is too weak or too large, or it has rules that are not known here.",
    ),
    "ca_expired": ("An authority has expired", "None of its clients could be let in: leave it out."),
    "crl_too_large": ("The revocation lists are too large", "At most 512 KB and 40 lists."),
    "crl_unreadable": ("The revocation lists are not readable", "They are one or more undamaged lists in PEM."),
    "crl_unsupported": (
        "A revocation list is not supported",
        "It must be whole, of version 2, and of a kind known here.",
    ),
    "crl_unrelated": ("A revocation list is of another authority", "None of the authorities has signed it."),
    "crl_missing": ("An authority has no revocation list", "Where one has a list, each needs one; it may be empty."),
    "crl_stale": ("A revocation list is stale", "The next one is due already, or it is not valid yet."),
    "mode_unknown": ("The mode is not known", "Certificates are required or optional."),
    "identify_by_invalid": ("What consumers are looked up by is not valid", "san, subject, fingerprint, each once."),
    "groups_from_invalid": ("Where groups come from is not valid", "O, OU, or uri: with a prefix."),
    "consumer_name_invalid": ("The consumer's name is not valid", "1 to 128 printable characters."),
    "consumer_kind_unknown": ("The consumer's kind is not known", "san, subject or fingerprint."),
    "consumer_value_invalid": ("The consumer's value is not valid", "No certificate has such in this field."),
    "group_invalid": ("A group is not valid", "1 to 128 characters, none of control."),
}

CATALOGUE: Mapping[str, ProblemType] = MappingProxyType(
    {
        **{code: _tenant(422, title, meaning) for code, (title, meaning) in _HOSTNAMES.items()},
        **{code: _tenant(401, title, meaning) for code, (title, meaning) in _TOKENS.items()},
        # The request as such.
        "bad_request": _tenant(400, "Bad request", "The request cannot be understood."),
        "invalid_json": _tenant(400, "The body is not valid JSON", "It must be I-JSON (RFC 7493)."),
        "invalid_cursor": _tenant(400, "The cursor is not valid", "Pass a cursor back as it came, or start again."),
        "invalid_parameter": _tenant(400, "A query parameter is not valid", "Its value is out of range or repeated."),
        "unknown_parameter": _tenant(400, "A query parameter is not known", "A misspelt parameter is not ignored."),
        "invalid_idempotency_key": _tenant(
            400, "The Idempotency-Key is not valid", "1 to 255 visible ASCII characters."
        ),
        "not_found": _tenant(404, "Not found", "There is nothing at this path."),
        "method_not_allowed": _tenant(405, "Method not allowed", "The Allow header lists the methods of this path."),
        "precondition_failed": _tenant(
            412,
            "Precondition failed",
            "It is not as If-Match or If-None-Match says; without entity tags, no If-Match but *.",
        ),
        "body_too_large": _tenant(413, "The body is too large", "No honest request is so large."),
        "unsupported_media_type": _tenant(415, "Unsupported media type", "Bodies are application/json in UTF-8."),
        "duplicate_field": _tenant(422, "A field is given twice", "Names in an object must be unique."),
        "unknown_field": _tenant(422, "A field is not known", "A misspelt field is not ignored."),
        "missing_field": _tenant(422, "A field is missing", "The body needs this field."),
        "wrong_type": _tenant(422, "A field has the wrong type", "The JSON type is not the one the field has."),
        "list_too_long": _tenant(422, "The list is too long", "Send it in several requests."),
        # Rights and limits.
        "forbidden": _tenant(403, "Forbidden", "The token is valid, but not for this."),
        "too_many_requests": ProblemType(429, "Too many requests", "nobody", "Wait as long as Retry-After says."),
        # Domains.
        "domain_not_found": _tenant(404, "No such domain", "This tenant has no domain with this id."),
        "domain_exists": _tenant(409, "The domain exists already", "This tenant has registered the hostname before."),
        "hostname_taken": _tenant(409, "The hostname is taken", "Another tenant has proven it and uses it."),
        "hostname_cooling_down": ProblemType(
            409, "The hostname is cooling down", "nobody", "Another tenant has just given it up; wait for Retry-After."
        ),
        "hostname_repeated": _tenant(422, "The hostname is in the list twice", "Only its first line counts."),
        # 409 rather than 403: no other credentials would help, and deleting a domain does (RFC 9110 section 15.5.10).
        "domain_limit_reached": _tenant(409, "The domain limit is reached", "Delete a domain, or change the plan."),
        "registrations_too_many": ProblemType(
            429, "Too many registrations in a day", "nobody", "Deleted domains count too. Wait for Retry-After."
        ),
        "verification_too_soon": ProblemType(
            429, "The DNS was asked a moment ago", "nobody", "Wait as long as Retry-After says."
        ),
        "diagnosis_too_soon": ProblemType(
            429, "The domain was diagnosed a moment ago", "nobody", "Wait as long as Retry-After says."
        ),
        "diagnosis_unavailable": ProblemType(
            503, "The diagnosis is unavailable", "operator", "It did not come to an end, or cannot be made here.", 30
        ),
        "domain_not_pausable": _tenant(409, "There is nothing to pause", "Only a proven domain can be paused."),
        "pause_too_soon": ProblemType(
            429, "The domain was paused a moment ago", "nobody", "Wait as long as Retry-After says."
        ),
        "domain_not_paused": _tenant(409, "The domain is not paused", "It is neither paused nor failed."),
        "domain_paused": _tenant(409, "The domain is paused", "Mend what was found, if anything was, then resume it."),
        "domain_not_active": _tenant(409, "The domain is not active", "It has no certificate in use to renew."),
        "domain_moved": _tenant(409, "The hostname has moved away", "Point it back to the platform first."),
        "renewal_too_soon": ProblemType(
            429, "A renewal was asked for already", "nobody", "The CA limits them. Wait as long as Retry-After says."
        ),
        "wildcard_unsupported": ProblemType(
            422, "Wildcards are not supported", "operator", "They need DNS-01, which this installation does not offer."
        ),
        # Uploaded certificates.
        **{code: _tenant(422, title, meaning) for code, (title, meaning) in _UPLOADS.items()},
        "upload_too_large": _tenant(
            413, "The upload is too large", "No honest chain has so much text or so many links."
        ),
        "certificate_not_uploaded": _tenant(404, "No uploaded certificate", "The domain has none to be withdrawn."),
        "upload_overtaken": _tenant(409, "The upload was overtaken", "Another one for the domain began later."),
        "uploads_too_many": ProblemType(
            429, "Too many uploads in an hour", "nobody", "Refused ones count too. Wait for Retry-After."
        ),
        "keys_not_kept": ProblemType(
            503, "Private keys cannot be kept now", "operator", "Nothing was changed, or it is not known; retry.", 5
        ),
        "uploads_unavailable": ProblemType(
            503, "Uploads are unavailable", "operator", "This installation does not offer them.", 300
        ),
        # Client certificates.
        **{code: _tenant(422, title, meaning) for code, (title, meaning) in _CLIENT_AUTH.items()},
        "client_auth_not_set": _tenant(404, "No client certificates", "The domain's clients are not asked for any."),
        "client_auth_limit_reached": _tenant(
            409, "The limit of client certificates is reached", "All domains count together."
        ),
        "client_auth_changes_too_many": ProblemType(
            429, "Too many changes of client certificates", "nobody", "Wait as long as Retry-After says."
        ),
        "client_auth_unavailable": ProblemType(
            503, "Client certificates are unavailable", "operator", "This installation does not offer them.", 300
        ),
        "consumer_not_found": _tenant(404, "No such consumer", "This tenant has no consumer with this id."),
        "consumer_exists": _tenant(409, "The consumer exists already", "Kind and value name one consumer."),
        "consumer_limit_reached": _tenant(409, "The consumer limit is reached", "Delete a consumer."),
        # Notifications.
        "endpoint_not_found": _tenant(404, "No such endpoint", "This tenant has no endpoint with this id."),
        "delivery_not_found": _tenant(404, "No such delivery", "The endpoint has none with this id to be sent again."),
        "endpoint_limit_reached": _tenant(409, "The endpoint limit is reached", "Delete an endpoint."),
        "endpoint_has_no_secret": _tenant(409, "The endpoint has no secret", "Only webhooks are signed."),
        "kind_unknown": _tenant(422, "The kind is not known", "An endpoint is a webhook or a mailbox."),
        "address_refused": _tenant(
            422, "The address is refused", "It is no public https:// URL, or no mail address of the usual form."
        ),
        "event_unknown": _tenant(422, "An event is not known", "Choose of those that this document lists."),
        "mail_unavailable": ProblemType(
            422, "Mail is not available", "operator", "This installation is not set up to send mail."
        ),
        "test_too_soon": ProblemType(
            429, "The endpoint was tested a moment ago", "nobody", "Wait as long as Retry-After says."
        ),
        "secrets_unavailable": ProblemType(
            503, "Secrets are unavailable", "operator", "Signing secrets can be neither kept nor read now.", 5
        ),
        "notifications_unavailable": ProblemType(
            503, "Notifications are unavailable", "operator", "This installation does not offer them.", 300
        ),
        # The pages.
        "portal_not_offered": ProblemType(
            404, "The pages are not offered", "operator", "This installation has no pages for people."
        ),
        # What the operator alone does.
        **{code: _operator(422, title, meaning) for code, (title, meaning) in _SERVICES.items()},
        "sidecar_not_found": _operator(404, "No such sidecar", "No sidecar of this name is heard now."),
        "filters_conflict": _operator(
            422, "The filters do not go together", "Each chooses a list of its own; a cursor is of one list."
        ),
        "search_too_wide": _operator(422, "The search is too wide", "It took too long: say more, or a shorter time."),
        "explain_too_many": ProblemType(
            429, "Too many explanations", "nobody", "Each is work for all sidecars. Wait for Retry-After."
        ),
        "admin_only": _operator(403, "For the platform's admin only", "The token's scope lacks nameplate:admin."),
        "admin_unavailable": ProblemType(
            503, "The admin API is unavailable", "operator", "This installation does not offer it.", 300
        ),
        "service_not_found": _operator(404, "No such service", "There is no upstream service of this name."),
        "trust_not_found": _operator(404, "No such bundle", "There is no bundle of authorities of this name."),
        "identity_not_found": _operator(404, "No such identity", "There is no client certificate of this name."),
        "tenant_not_found": _operator(404, "No such tenant", "Nobody has heard of a tenant with this id."),
        "choice_not_found": _operator(404, "No service is chosen", "The service of the tenant, or default, is used."),
        "service_in_use": _operator(409, "The service is in use", "A tenant or a domain is sent there by choice."),
        "trust_in_use": _operator(409, "The bundle is in use", "A service trusts its upstream by it."),
        "identity_in_use": _operator(409, "The identity is in use", "A service shows it to its upstream."),
        "platform_limit_reached": _operator(
            409, "The limit is reached", "Sidecars hold no more; remove what is not used."
        ),
        "changed_meanwhile": _operator(
            409, "It was changed meanwhile", "Somebody else was at it; look, and try again."
        ),
        "trust_too_large": _operator(413, "The bundle is too large", "512 KB and 200 certificates at most."),
        # Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07 section 2.7).
        "idempotency_key_reused": _tenant(422, "The Idempotency-Key was used already", "Its request was another one."),
        # Ours.
        "internal_error": ProblemType(500, "Internal error", "operator", "A fault in the platform; it is in the log."),
        "database_unavailable": ProblemType(
            503, "The database is unavailable", "operator", "Nothing was changed, or it is not known; retry.", 5
        ),
        "keys_unavailable": ProblemType(
            503, "The issuer's keys are unavailable", "operator", "Tokens cannot be checked until they are fetched.", 5
        ),
    }
)
