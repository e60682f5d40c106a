"""The list of ended registrations against its promise: whoever ended within KEPT is on it, or there is no list."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.xds import ended as module
from sidecar.xds.ended import KEPT, EndedRegistrations

registrations = st.integers(min_value=0, max_value=7).map(lambda n: str(UUID(int=n)))
steps = st.lists(
    st.one_of(
        st.lists(registrations, max_size=4),  # ended
        st.sampled_from([1.0, 60.0, KEPT / 2, KEPT - 1, KEPT]),  # seconds go by
    ),
    max_size=30,
)


@given(steps=steps, limit=st.integers(min_value=1, max_value=8))
@settings(max_examples=300)
def test_whoever_ended_while_a_connection_may_live_is_on_the_list_or_there_is_none(steps, limit):
    clock = 0.0
    ends: dict[str, float] = {}
    told = False
    original, module.LIMIT = module.LIMIT, limit
    try:
        ended = EndedRegistrations(lambda: clock)
        for step in steps:
            if isinstance(step, float):
                clock += step
            else:
                told = True
                ended.add(dict.fromkeys(step, 0.0))
                ends.update(dict.fromkeys(step, clock))
            due = {registration for registration, at in ends.items() if clock < at + KEPT}
            config = ended.config()
            if not told:
                assert config is None
            elif config is not None:
                assert config.length == len(due) <= limit
                assert all(registration.encode() in config.resource for registration in due)
            else:
                assert len(ends) > limit, "a list that could have been whole"
    finally:
        module.LIMIT = original
