"""The files that pages load: read, hashed and compressed once, and kept by browsers for good."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.ui.brand import Brand

MEDIA_TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
FOR_GOOD = "public, max-age=31536000, immutable"
# A picture that is opened by itself must do no more than one within a page.
ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content: bytes
    compressed: bytes
    digest: str

    @classmethod
    def of(cls, name: str, content: bytes) -> File:
        return cls(name, content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:16])

    @property
    def path(self) -> str:
        return f"/ui/static/{self.digest}/{self.name}"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.name.rpartition(".")[2]]


class Files:
    """By name. The style sheet ends with the brand's colours."""

    def __init__(self, brand: Brand) -> None:
        found = {
            one.name: one.read_bytes()
            for one in resources.files("api.ui").joinpath("static").iterdir()
            if one.name.rpartition(".")[2] in MEDIA_TYPES
        }
        found["site.css"] += brand.style().encode()
        if brand.logo is not None:
            found[brand.logo.file_name] = brand.logo.content
        self._files = {name: File.of(name, content) for name, content in found.items()}

    def path(self, name: str) -> str:
        """Raises KeyError: a template names a file that is not there."""
        return self._files[name].path

    async def show(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None or file.digest != request.path_params["digest"]:
            raise HTTPException(404)
        headers = {"Cache-Control": FOR_GOOD, "Vary": "Accept-Encoding", "Content-Security-Policy": ALONE}
        content = file.content
        if _takes_gzip(request.headers.get("accept-encoding", "")) and len(file.compressed) < len(content):
            content, headers["Content-Encoding"] = file.compressed, "gzip"
        return Response(content, headers=headers, media_type=file.media_type)


def _takes_gzip(accepted: str) -> bool:
    """RFC 9110 section 12.5.3, as far as browsers go: it is named, and not with q=0."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
