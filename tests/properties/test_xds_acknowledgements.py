"""Marks and names in any order against a list of everything that was ever owed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.xds.acknowledgements import NEVER, Acknowledgements

names = st.sampled_from("abcd")
steps = st.one_of(
    st.tuples(st.just("owe"), st.lists(names, max_size=3)),
    st.tuples(st.just("comes with"), st.lists(names, max_size=3)),
    st.tuples(st.just("done"), names),
    st.tuples(st.just("mark"), st.integers(0, 3)),
)


@given(st.lists(steps))
def test_nothing_is_acknowledged_that_is_owed_and_everything_else_is(history):
    acknowledgements = Acknowledgements()
    marked = NEVER
    owed: dict[str, int] = {}  # the mark after which
    for verb, what in history:
        match verb:
            case "owe":
                acknowledgements.owe(what)
                for name in what:
                    owed.setdefault(name, marked)
            case "comes with":
                acknowledgements.owe_all_along(what)
                owed.update(dict.fromkeys(what, NEVER))
            case "done":
                acknowledgements.done(what)
                owed.pop(what, None)
            case "mark":
                marked += what
                acknowledgements.mark(marked)
                acknowledgements.mark(marked - 1)  # late, it changes nothing
        assert acknowledgements.acknowledged == min([marked, *owed.values()])
        assert acknowledgements.owing == bool(owed)
