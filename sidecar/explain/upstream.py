"""A look at an upstream as Envoy would take it: does it answer, and is its certificate one that is trusted?

Only when it is asked for: it connects. The client certificate is not shown, whose key is not at hand here; an upstream
that insists on one says so after this look is over. Envoy's own failures are in its access log (`upstream_failure`).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509

from core.certificate import UNREADABLE
from core.service import Address, Service, UpstreamTls
from core.upstream_name import tls_name_kind

LOOKED_AT: Final = 4  # addresses of a service
PATIENCE: Final = 2.0  # seconds for each, side by side


async def examine(service: Service, bundle: bytes | None) -> list[dict[str, Any]]:
    """`bundle`: PEM of the authorities; None: the machine's own."""
    looks = (_look(service, address, bundle) for address in service.addresses[:LOOKED_AT])
    return list(await asyncio.gather(*looks))


async def _look(service: Service, address: Address, bundle: bytes | None) -> dict[str, Any]:
    code, reason = await _connect(service, address, bundle)
    return {"address": f"{address.host}:{address.port}", "ok": code is None, "code": code, "reason": reason}


async def _connect(service: Service, address: Address, bundle: bytes | None) -> tuple[str | None, str | None]:
    settings = service.tls
    try:
        context = None if settings is None else _context(bundle, "h2" if service.protocol == "http2" else "http/1.1")
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(
                address.host,
                address.port,
                ssl=context,
                server_hostname=None if settings is None else settings.sni or "",
            )
    except ssl.SSLCertVerificationError as error:
        return "upstream_untrusted", f"Its certificate is not trusted: {error.verify_message}."
    except ssl.SSLError as error:
        return "upstream_tls_failed", f"The TLS handshake fails: {error.reason or 'no reason is given'}."
    except TimeoutError:
        return "upstream_silent", f"It does not answer within {PATIENCE:.0f} s."
    except (OSError, ValueError) as error:  # ValueError: an SNI that cannot be sent
        return "upstream_unreachable", f"It cannot be reached: {getattr(error, 'strerror', None) or error}."
    try:
        return _named(settings, writer)
    finally:
        writer.transport.abort()


def _context(bundle: bytes | None, alpn: str) -> ssl.SSLContext:
    """Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the names are our own, below
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # Envoy takes an intermediate for an anchor
    context.set_alpn_protocols([alpn])
    if bundle is None:
        context.load_default_certs()
    elif bundle:
        context.load_verify_locations(cadata=bundle.decode("ascii", "replace"))
    return context


def _named(settings: UpstreamTls | None, writer: asyncio.StreamWriter) -> tuple[str | None, str | None]:
    if settings is None:
        return None, None
    secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
    try:
        names = alternative_names(x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b""))
    except UNREADABLE:
        return "upstream_untrusted", "Its certificate cannot be read."
    if any(matches(wanted, name) for wanted in settings.names for name in names):
        return None, None
    wanted, had = ", ".join(settings.names), ", ".join(f"{value}" for _, value in names) or "none"
    return "upstream_wrong_name", f"Its certificate has the names {had}, and is to have one of {wanted}."


Name = tuple[str, str]  # the kind, as core.upstream_name.tls_name_kind gives it; and the name


def alternative_names(certificate: x509.Certificate) -> list[Name]:
    """Raises UNREADABLE."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *(("dns", name) for name in found.get_values_for_type(x509.DNSName)),
        *(("ip", str(address)) for address in found.get_values_for_type(x509.IPAddress)),
        *(("uri", uri) for uri in found.get_values_for_type(x509.UniformResourceIdentifier)),
    ]


def matches(wanted: str, name: Name) -> bool:
    """As sidecar.xds.resources.upstream_tls has Envoy do it."""
    kind, value = name
    if tls_name_kind(wanted) != kind:
        return False
    if kind == "ip":
        return ip_address(wanted) == ip_address(value)
    if kind == "uri":
        return wanted == value
    wanted, value = wanted.lower(), value.lower()
    if wanted.startswith("*."):
        return re.fullmatch(rf"[^.]+{re.escape(wanted[1:])}", value) is not None
    if value.startswith("*."):
        return wanted.partition(".")[2] == value[2:]
    return wanted == value
