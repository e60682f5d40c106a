"""After everything else: no private key in any file that the servers and our processes wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# DER, up to where the key's own bytes begin: PKCS #8 and SEC 1 of P-256, PKCS #8 and PKCS #1 of RSA.
DER = re.compile(
    rb"\x30[\x81\x82]?.{1,3}\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04"
    rb"|\x30\x77\x02\x01\x01\x04\x20.{32}\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    rb"|\x30\x82..\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82"
    rb"|\x30\x82..\x02\x01\x00\x02\x82[\x01\x02][\x00\x01]\x00",
    re.DOTALL,
)
CHUNK, OVERLAP = 1 << 20, 256


def leaks(file: Path) -> Iterator[str]:
    with file.open("rb") as stream:
        tail = b""
        while block := stream.read(CHUNK):
            window = tail + block
            for pattern in (PEM, DER):
                if found := pattern.search(window):
                    yield f"{file}: {found.group()[:40]!r}"
            tail = window[-OVERLAP:]


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_the_search_finds_a_key(tmp_path: Path, encoding, form) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(encoding, form, serialization.NoEncryption())
    (tmp_path / "file").write_bytes(b"x" * (CHUNK - 20) + key + b"y" * 1000)
    assert list(leaks(tmp_path / "file"))


@pytest.mark.last
def test_no_file_of_the_suite_holds_a_private_key(session_dir: Path) -> None:
    files = [file for file in session_dir.rglob("*") if file.is_file() and not file.is_symlink()]
    assert any(file.suffix == ".log" for file in files), "no process left a log: nothing was searched"
    assert any("postgres" in file.parts and "base" in file.parts for file in files)
    found = [leak for file in files for leak in leaks(file)]
    assert not found, "\n".join(found)
