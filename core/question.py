"""What operators ask of sidecars, by way of PostgreSQL: what would happen to a host now, by each one's own memory.

    control ──NOTIFY nameplate_questions──▶ every sidecar ──NOTIFY nameplate_answers, in pieces──▶ who has asked

A question is one payload, an answer as many as it needs. Both are hints like all notifications: whoever is away hears
nothing and says nothing, and nobody waits for longer than ANSWER_WITHIN. Nothing of it is secret: whoever may connect
to the database may listen. Releases differ while they are replaced: members are only ever added.
Source: https://www.postgresql.org/docs/18/sql-notify.html (a payload is shorter than 8,000 bytes)
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.errors import NameplateError

QUESTIONS_CHANNEL = "nameplate_questions"
ANSWERS_CHANNEL = "nameplate_answers"

ANSWER_WITHIN = 3.0  # seconds
# Characters. A longer host or SNI than any of DNS is explained too, but not from afar.
LONGEST_NAME = 300
LONGEST_PATH = 500
LONGEST_PAYLOAD = 7_900  # bytes
# Of an answer: characters in a piece, beside which a sidecar's name may have 2,400 bytes; pieces; bytes unpacked.
PIECE = 5_000
MOST_PIECES = 100
LARGEST_ANSWER = 4_000_000


class QuestionUnfit(NameplateError):
    """It cannot be asked from afar. Code: invalid_parameter."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__("invalid_parameter", message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Question:
    """`sidecar`: whom it is for; None: all. `sni`: "" for none. `path`: of a request on the plain listener."""

    id: UUID
    host: str
    sni: str
    path: str = "/"
    sidecar: str | None = None

    def to_payload(self) -> str:
        """Raises QuestionUnfit."""
        for name, text, longest in (
            ("host", self.host, LONGEST_NAME),
            ("sni", self.sni, LONGEST_NAME),
            ("path", self.path, LONGEST_PATH),
        ):
            if len(text) > longest:
                raise QuestionUnfit(name, f"{name} may have at most {longest} characters.")
        fields: dict[str, Any] = {"id": self.id.hex, "host": self.host, "sni": self.sni, "path": self.path}
        if self.sidecar is not None:
            fields["sidecar"] = self.sidecar
        payload = json.dumps(fields, separators=(",", ":"))
        if len(payload) > LONGEST_PAYLOAD:
            raise QuestionUnfit("host", "The question is too long for one notification.")
        return payload

    @classmethod
    def from_payload(cls, payload: str) -> Question:
        """Raises ValueError for anything that is not a question."""
        fields = _object(payload)
        texts = {name: fields.get(name) for name in ("host", "sni", "path")}
        sidecar = fields.get("sidecar")
        longest = {"host": LONGEST_NAME, "sni": LONGEST_NAME, "path": LONGEST_PATH}
        if not all(isinstance(text, str) and len(text) <= longest[name] for name, text in texts.items()):
            raise ValueError("not a question")
        if not isinstance(sidecar, str | None) or not texts["host"] or not str(texts["path"]).startswith("/"):
            raise ValueError("not a question")
        return cls(_id(fields), str(texts["host"]), str(texts["sni"]), str(texts["path"]), sidecar)


@dataclass(frozen=True, slots=True)
class Piece:
    """One of `of` pieces of a sidecar's answer, `number` counted from 0. `text`: base64."""

    question: UUID
    sidecar: str
    number: int
    of: int
    text: str

    def to_payload(self) -> str:
        fields = {
            "id": self.question.hex,
            "sidecar": self.sidecar,
            "piece": self.number,
            "of": self.of,
            "text": self.text,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_payload(cls, payload: str) -> Piece:
        """Raises ValueError for anything that is not a piece of an answer."""
        fields = _object(payload)
        sidecar, number, of, text = (fields.get(name) for name in ("sidecar", "piece", "of", "text"))
        if not (isinstance(sidecar, str) and isinstance(text, str)):
            raise ValueError("not an answer")  # noqa: TRY004 -- of the payload
        if type(number) is not int or type(of) is not int or not 0 <= number < of <= MOST_PIECES:
            raise ValueError("not an answer")
        return cls(_id(fields), sidecar, number, of, text)


def in_pieces(question: UUID, sidecar: str, answer: Mapping[str, Any]) -> Iterator[Piece]:
    """An answer that is larger than what fits says only that it is."""
    texts = _cut(answer)
    if len(texts) > MOST_PIECES:
        texts = _cut({"error": {"code": "answer_too_large", "message": "The answer is larger than can be told."}})
    for number, text in enumerate(texts):
        yield Piece(question, sidecar, number, len(texts), text)


def put_together(texts: Mapping[int, str], largest: int | None = None) -> Mapping[str, Any]:
    """`texts`: of all pieces, by number. `largest`: bytes unpacked. Raises ValueError for what no sidecar would say."""
    most = LARGEST_ANSWER if largest is None else min(largest, LARGEST_ANSWER)
    joined = "".join(texts[number] for number in range(len(texts)))
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b64decode(joined, validate=True), most)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("not an answer") from error
    if not unpacking.eof:
        raise ValueError("the answer is cut, or too large")
    return _object(text)


def _cut(answer: Mapping[str, Any]) -> list[str]:
    packed = base64.b64encode(zlib.compress(json.dumps(answer, separators=(",", ":")).encode("ascii"))).decode("ascii")
    return [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]


def _object(text: str | bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- of the payload
    return fields


def _id(fields: Mapping[str, Any]) -> UUID:
    text = fields.get("id")
    if not isinstance(text, str) or len(text) != 32:
        raise ValueError("no id")
    return UUID(hex=text)
