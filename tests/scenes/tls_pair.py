"""A certificate and its key, shown by an `ssl` context, which takes them from a file only."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path


def show(context: ssl.SSLContext, pem: str) -> ssl.SSLContext:
    """`pem`: the chain, leaf first, and the key. The file is gone again when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(pem)
        context.load_cert_chain(file)
    return context
