"""Rules that hold for any mixture of resolvers' outcomes."""

from hypothesis import given
from hypothesis import strategies as st

from control.dns.outcome import Answer, Definitive, Malformed, NoData, NoName, Outcome, Refused, ServFail, Timeout
from control.dns.verdict import Question, judge

TARGET = "custom.platform.io"
QUESTION = Question("shop.example.com", "_platform-verify.shop.example.com", "verify-abc", TARGET)
VALUE = b"verify-abc"

failures: st.SearchStrategy[Outcome] = st.sampled_from(
    [ServFail("r"), ServFail("r", "other"), Refused("r"), Refused("r", "NOTIMP"), Timeout("r"), Malformed("r")]
)
values = st.lists(st.sampled_from([VALUE, b'"verify-abc"', b"verify-xyz", b"v=spf1"]) | st.binary(), max_size=4)
chains = st.lists(st.sampled_from([TARGET, "elsewhere.example"]), max_size=3).map(tuple)
definitive: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Answer, st.just("r"), values.map(tuple), chains),
    st.builds(NoName, st.just("r"), chains),
    st.builds(NoData, st.just("r"), chains),
)
outcomes = st.lists(failures | definitive, min_size=1, max_size=5)


def shows(outcome: Outcome) -> bool:
    return isinstance(outcome, Answer) and any(v.strip(b" \t\r\n\v\f\"'") == VALUE for v in outcome.values)


def leads(outcome: Outcome) -> bool:
    return isinstance(outcome, Definitive) and TARGET in outcome.chain


@given(outcomes, outcomes)
def test_txt_proof_is_exactly_one_resolver_that_shows_it_and_none_that_denies_it(
    txt: list[Outcome], cname: list[Outcome]
) -> None:
    proven = any(map(shows, txt)) and not any(isinstance(o, Definitive) and not shows(o) for o in txt)
    assert (judge(QUESTION, txt, cname).verdict == "proven_txt") == proven


@given(outcomes, outcomes)
def test_cname_proof_needs_the_chain_everywhere_and_the_record_nowhere(
    txt: list[Outcome], cname: list[Outcome]
) -> None:
    judgement = judge(QUESTION, txt, cname)
    if judgement.verdict == "proven_cname":
        assert not any(map(shows, txt))
        assert any(isinstance(o, Definitive) for o in txt)
        assert any(map(leads, cname))
        assert all(leads(o) for o in cname if isinstance(o, Definitive))


@given(outcomes, outcomes)
def test_nothing_is_found_when_no_resolver_shows_anything(txt: list[Outcome], cname: list[Outcome]) -> None:
    judgement = judge(QUESTION, txt, cname)
    if not any(map(shows, txt)) and not any(map(leads, cname)):
        assert judgement.verdict == "absent"
    if judgement.verdict == "absent":
        assert judgement.who in {"tenant", "operator"}
    else:
        assert judgement.who == "nobody"


@given(outcomes, st.lists(failures, max_size=3))
def test_resolvers_that_fail_never_change_the_verdict_of_those_that_answer(
    txt: list[Outcome], failing: list[Outcome]
) -> None:
    if any(isinstance(o, Definitive) for o in txt):
        assert judge(QUESTION, [*txt, *failing], []).verdict == judge(QUESTION, txt, []).verdict
        assert judge(QUESTION, [*failing, *txt], []).code == judge(QUESTION, txt, []).code


@given(outcomes, outcomes, st.randoms(use_true_random=False))
def test_the_order_of_resolvers_does_not_matter(txt: list[Outcome], cname: list[Outcome], random: object) -> None:
    shuffled = list(txt)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = judge(QUESTION, txt, cname), judge(QUESTION, shuffled, cname)
    assert (one.verdict, one.code, one.message) == (other.verdict, other.code, other.message)
