"""Whatever is asked, there is an explanation; it is the policy's own decision, and leaves no trace."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import checks
from scenes.explained import Room

from cli.explain import printable, rows
from sidecar.authz.policy import Pending
from sidecar.authz.refusal import Refusal
from sidecar.directory.entry import Entry
from sidecar.explain.question import LONGEST_NAME, LONGEST_PATH, Question, QuestionError, parse_question

ROOMS = (Room(), Room(complete=False), Room(edge=None))
rooms = st.sampled_from(ROOMS)


@given(rooms, checks.pairs, checks.paths)
def test_an_explanation_says_what_the_policy_does(room: Room, names: tuple[str, str], path: bytes) -> None:
    host, sni = names
    counted = room.directory.hits, room.directory.misses, room.directory.negatives, room.secrets.fetches
    said = room.explain.explain(Question(host, sni, path))
    assert counted == (room.directory.hits, room.directory.misses, room.directory.negatives, room.secrets.fetches)
    for decision, name in (
        (room.policy.secure(host, sni), "request"),
        (room.policy.plain(host, path), "plain"),
        (room.policy.connection(sni), "connection"),
    ):
        shown = said["decisions"][name]
        match decision:
            case Entry():
                assert (shown["passes"], shown["tenant"], shown["row"]) == (
                    True,
                    decision.tenant_id,
                    decision.hostname,
                )
            case Refusal():
                assert (shown["passes"], shown["outcome"], shown["status"]) == (
                    False,
                    decision.outcome.value,
                    decision.status,
                )
            case Pending():
                assert shown["passes"] is None
    assert (said["served"] is True) is (said["why"] == [])
    if said["served"]:
        assert said["decisions"]["request"]["passes"]
    text = json.dumps(said)
    assert "thumb" not in text
    assert json.loads(text) == said


@given(rooms, checks.pairs, checks.paths)
def test_every_explanation_can_be_shown_on_a_terminal(room: Room, names: tuple[str, str], path: bytes) -> None:
    said = json.loads(json.dumps(room.explain.explain(Question(*names, path))))
    for name, text in rows(said):
        assert printable(name) == name
        assert printable(text).isprintable()


@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_any_query_is_a_question_or_an_error_with_a_code(query: bytes) -> None:
    with suppress(QuestionError):
        question = parse_question(query)
        assert 0 < len(question.host) <= LONGEST_NAME
        assert question.path.startswith(b"/")
        json.dumps(ROOMS[0].explain.explain(question))


@given(checks.pairs, checks.paths, st.booleans())
def test_what_is_asked_arrives(names: tuple[str, str], path: bytes, load: bool) -> None:
    host, sni = names
    query = f"host={quote_plus(host)}&sni={quote_plus(sni)}&path={quote_plus(path)}&load={int(load)}"
    if not host or len(path.decode()) > LONGEST_PATH:
        with pytest.raises(QuestionError):
            parse_question(query.encode())
    else:
        assert parse_question(query.encode()) == Question(host, sni, path, load)
