"""PEM out of a form: what was pasted into a field, or the file beside it; and what of it may be shown again."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.datastructures import FormData, UploadFile

from api.ui.guard import text
from core.certificate import UNREADABLE
from core.pem import blocks

LOADERS: Mapping[str, Callable[[bytes], Any]] = {
    "CERTIFICATE": x509.load_der_x509_certificate,
    "X509 CRL": x509.load_der_x509_crl,
}


async def pem(form: FormData, name: str) -> str:
    """What was pasted goes before the file. A file that is no text is given in base64: its reader says what it is."""
    pasted = text(form, name)
    file = form.get(f"{name}_file")
    if pasted.strip() or not isinstance(file, UploadFile):
        return pasted
    content = await file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return b64encode(content).decode()


def shown(given: str, label: str) -> str:
    """The undamaged ones of this kind and nothing else: a key in the wrong field, or below a wrong label, is not."""
    kept = []
    with suppress(ValueError):
        for block in blocks(given):
            with suppress(*UNREADABLE):
                if block.label == label:
                    kept.append(LOADERS[label](block.der()).public_bytes(Encoding.PEM).decode())
    return "".join(kept)
