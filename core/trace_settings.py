"""Where spans are sent (docs/traces.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, FilePath, SecretStr
from pydantic_settings import BaseSettings

from core.trace import NOTHING, Tracer

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.1


def collector(value: str) -> str:
    """A base URL. Its value is never repeated: somebody may have put a password there."""
    try:
        url = urlsplit(value)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError("must be http://HOST:PORT or https://…, the collector's base URL")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("has a user, a query or a fragment; credentials go into NAMEPLATE_OTLP_HEADERS")
    if url.path.rstrip("/").endswith("/v1/traces"):
        raise ValueError("is the base URL: leave /v1/traces out")
    return value


def headers(value: SecretStr) -> SecretStr:
    headers_of(value.get_secret_value())
    return value


def headers_of(text: str) -> Mapping[str, str]:
    """NAME=VALUE,NAME=VALUE with percent-encoded values, as of OTEL_EXPORTER_OTLP_HEADERS. Raises ValueError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not equals or HEADER_NAME.fullmatch(name) is None or not value.isascii() or not value.isprintable():
            raise ValueError("must be NAME=VALUE,NAME=VALUE, with values percent-encoded")
        found[name] = value
    return found


class TraceSettings(BaseSettings):
    """Spans are recorded where an endpoint is set."""

    otlp_endpoint: Annotated[str, AfterValidator(collector)] | None = Field(
        None,
        validation_alias=AliasChoices("NAMEPLATE_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="The base URL of an OpenTelemetry collector, as `http://collector:4318`: traces are sent to "
        "/v1/traces there, by OTLP over HTTP. Unset: none are.",
    )
    otlp_headers: Annotated[SecretStr, AfterValidator(headers)] | None = Field(
        None,
        validation_alias=AliasChoices("NAMEPLATE_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
        description="What the collector asks for: NAME=VALUE,NAME=VALUE, with values percent-encoded.",
    )
    otlp_ca_file: FilePath | None = Field(None, description="Trust for the collector's TLS; default: certifi's list.")
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="The part of traces that is recorded; the same in every process."
    )

    def tracer(self, service: str, instance: str) -> Tracer:
        """`instance`: this process among those of its kind. Imports OpenTelemetry (0.3 s) only if it is used."""
        if self.otlp_endpoint is None or self.trace_ratio == 0:
            return NOTHING
        from core.otlp import Otlp  # noqa: PLC0415

        text = "" if self.otlp_headers is None else self.otlp_headers.get_secret_value()
        ca_file = None if self.otlp_ca_file is None else str(self.otlp_ca_file)
        return Otlp(self.otlp_endpoint, headers_of(text), ca_file, self.trace_ratio, service, instance)
