"""PEM as people send it (RFC 7468): blocks of base64 between their labels, with whatever stands between them.

In one pass over the text, however it is made.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"
_PFX = "MII"  # base64 of a DER sequence of 256 bytes or more
_PFX_VERSION = b"\x02\x01\x03"  # and its first member (RFC 7292 section 4)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between `-----BEGIN label-----` and its end; `body` is not decoded yet."""

    label: str
    body: str

    def der(self) -> bytes:
        """Raises ValueError."""
        return b64decode("".join(self.body.split()), validate=True)


def blocks(pem: str) -> Iterator[Block]:
    """The PEM blocks of a text (RFC 7468), whatever stands between them. Raises ValueError for one without an end."""
    at = pem.find(_BEGIN)
    while at >= 0:
        start = at + len(_BEGIN)
        end_of_label = pem.index(_DASHES, start)
        label = pem[start:end_of_label]
        body = end_of_label + len(_DASHES)
        end = pem.index(f"{_END}{label}{_DASHES}", body)
        yield Block(label, pem[body:end])
        at = pem.find(_BEGIN, end)


def is_pkcs12(text: str) -> bool:
    """Whether it begins as a PKCS #12 file does, in base64 or as PEM."""
    try:
        found = next(blocks(text), None)
        if found is not None:
            return found.label in ("PKCS12", "PFX")
        head = "".join(text[:128].split())[:64]
        return head.startswith(_PFX) and b64decode(head[: len(head) // 4 * 4], validate=True)[4:7] == _PFX_VERSION
    except ValueError:
        return False
