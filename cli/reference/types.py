"""What kind of value a setting is, in words."""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import FilePath, SecretStr
from pydantic.fields import FieldInfo

from core.settings import HostnameSetting, PostgresqlUrl, SuffixSetting
from sidecar.listen import TcpAddress, UnixAddress

WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    SecretStr: "text",
    Path: "a path",
    timedelta: "a number",
    IPv4Address: "IPv4 address",
    IPv6Address: "IPv6 address",
    IPv4Network: "network",
    IPv6Network: "network",
    UnixAddress: "unix:PATH",
    TcpAddress: "HOST:PORT",
}
NAMED: Mapping[Any, str] = {
    FilePath: "a file",
    PostgresqlUrl: "postgresql:// URL",
    HostnameSetting: "a hostname",
    SuffixSetting: "a domain",
}


def in_words(field: FieldInfo) -> str:
    if field.annotation is int and (bounds := _bounds(field)):
        return bounds
    return _words(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(is_secret(part) for part in get_args(annotation))


def _words(annotation: Any) -> str:
    for known, words in NAMED.items():
        if annotation == known:
            return words
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if origin is Annotated:
        return _words(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in get_args(annotation) if part is not type(None)))
    if origin in (tuple, list):
        return f"list: {_words(get_args(annotation)[0])}"
    return WORDS.get(annotation, "text")


def _bounds(field: FieldInfo) -> str:
    least = next((str(part.ge) for part in field.metadata if isinstance(part, Ge)), None)
    most = next((str(part.le) for part in field.metadata if isinstance(part, Le)), None)
    if least and most:
        return f"{least} to {most}"
    return f"a number from {least}" if least else ""
