"""The query string of /explain: bounded, and a clear error for anything else.

host=SHOP.example.com[:PORT]   as a client would write it; required
sni=…                          as a client would send it; empty: none. Default: the host's own name
path=/…                        of a request on the plain listener; default: /
load=1                         read what is not in memory, from PostgreSQL and Vault
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from core.errors import NameplateError
from core.hostname import normalize_host_header

# Characters. A longer host or SNI than any of DNS is explained too: it is refused like any other that is none.
LONGEST_NAME: Final = 1_000
LONGEST_PATH: Final = 4_096
LONGEST_QUERY: Final = 32_768  # bytes, percent-encoded
PARAMETERS: Final = {"host": LONGEST_NAME, "sni": LONGEST_NAME, "path": LONGEST_PATH, "load": 1}


class QuestionError(NameplateError):
    """Codes: query_too_long, query_unreadable, unknown_parameter, repeated_parameter, parameter_too_long,
    missing_parameter, invalid_parameter."""


@dataclass(frozen=True, slots=True)
class Question:
    """`sni`: "" for none. `path`: with the query. `load`: whether I/O is asked for."""

    host: str
    sni: str
    path: bytes = b"/"
    load: bool = False


def parse_question(query: bytes) -> Question:
    """Raises QuestionError."""
    given = _parameters(query)
    host = given.get("host", "")
    if not host:
        raise QuestionError("missing_parameter", "Say which host: /explain?host=shop.example.com")
    load = given.get("load", "0")
    if load not in {"0", "1"}:
        raise QuestionError("invalid_parameter", "load is 0 or 1.")
    path = given.get("path", "/")
    if not path.startswith("/"):
        raise QuestionError("invalid_parameter", "path begins with a slash.")
    return Question(
        host,
        given.get("sni", normalize_host_header(host) or ""),
        path.encode("utf-8", "surrogateescape"),
        load == "1",
    )


def _parameters(query: bytes) -> dict[str, str]:
    if len(query) > LONGEST_QUERY:
        raise QuestionError("query_too_long", f"The query is longer than {LONGEST_QUERY} bytes.")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="surrogateescape",
            max_num_fields=len(PARAMETERS) * 2,
        )
    except ValueError as error:
        raise QuestionError("query_unreadable", "The query is not NAME=VALUE&NAME=VALUE.") from error
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise QuestionError("unknown_parameter", "The parameters are host, sni, path and load.")
        if name in given:
            raise QuestionError("repeated_parameter", f"{name} is given twice.")
        if len(value) > PARAMETERS[name]:
            raise QuestionError("parameter_too_long", f"{name} is longer than {PARAMETERS[name]} characters.")
        given[name] = value
    return given
