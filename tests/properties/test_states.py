"""Every (state, event) pair of the state machines, against the service's specification (seed 002)."""

import itertools
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.domains.states import DOMAIN, SSL, TABLES, UPLOAD, IllegalTransition, machine_of, step
from control.domains.transition import EFFECTS

# pending → dns_check → verified → active / failed
DOMAIN_STATES = ("pending", "dns_check", "verified", "active", "failed", "moved")
LEGAL_DOMAIN = {
    ("pending", "record_found"): "dns_check",
    ("dns_check", "ownership_proven"): "verified",
    ("verified", "certificate_loaded"): "active",
    # the window has ended, whatever was found in it
    ("pending", "window_expired"): "failed",
    ("dns_check", "window_expired"): "failed",
    # the maximum of retries is exceeded
    ("verified", "retries_exhausted"): "failed",
    # "the domain UI shows status failed with instructions to retry"
    ("failed", "retry"): "pending",
    # a name that its owner leads elsewhere, and back
    ("active", "moved_away"): "moved",
    ("moved", "came_back"): "active",
}

# none → validating → issued → expiring → renewed / error
SSL_STATES = ("none", "validating", "issued", "expiring", "renewed", "error", "paused")
LEGAL_SSL = {
    ("none", "order_started"): "validating",
    ("validating", "certificate_stored"): "issued",
    ("validating", "challenge_failed"): "error",
    # exponential backoff between attempts: an error is tried again
    ("error", "order_started"): "validating",
    ("issued", "expiry_near"): "expiring",
    ("expiring", "certificate_stored"): "renewed",
    ("expiring", "challenge_failed"): "error",
    # a renewed certificate expires like the first one
    ("renewed", "expiry_near"): "expiring",
    # what would fail at the CA fails here, before an order is spent
    ("none", "preflight_failed"): "error",
    ("error", "preflight_failed"): "error",
    ("expiring", "preflight_failed"): "error",
    ("validating", "preflight_failed"): "error",
    # a renewal that failed is tried again as a renewal
    ("error", "renewal_started"): "expiring",
    # "auto-paused at 10 failures", until somebody resumes it
    ("error", "failures_exceeded"): "paused",
    ("paused", "resumed"): "error",
    # by its tenant, from wherever it is, and back to there by its tenant alone
    **{(state, "paused_by_tenant"): "paused" for state in SSL_STATES},
    **{("paused", f"back_to_{state}"): state for state in SSL_STATES if state != "paused"},
    ("paused", "certificate_ending"): "paused",
}

# a tenant's own certificate: there or not, and replaced while it is
UPLOAD_STATES = ("none", "standing")
LEGAL_UPLOAD = {
    ("none", "uploaded"): "standing",
    ("standing", "uploaded"): "standing",
    # "expiry warned; falls back to ACME when it runs out"
    ("standing", "end_near"): "standing",
    ("standing", "ran_out"): "none",
    ("standing", "withdrawn"): "none",
}

MACHINES = {
    "domain": (DOMAIN_STATES, LEGAL_DOMAIN),
    "ssl": (SSL_STATES, LEGAL_SSL),
    "upload": (UPLOAD_STATES, LEGAL_UPLOAD),
}
EVENTS = sorted({event for _, legal in MACHINES.values() for _, event in legal})
DOMAIN_EVENTS = sorted({event for _, event in LEGAL_DOMAIN})

PAIRS = [
    (machine, state, event)
    for machine, (states, _) in MACHINES.items()
    for state, event in itertools.product((*states, "", "deleted", "PENDING"), (*EVENTS, "", "unknown", "RETRY"))
]


@pytest.mark.parametrize(("machine", "state", "event"), PAIRS)
def test_a_pair_leads_where_the_specification_says_and_is_refused_otherwise(machine, state, event) -> None:
    legal = MACHINES[machine][1]
    if (state, event) in legal:
        assert step(machine, state, event).to == legal[state, event]
    else:
        with pytest.raises(IllegalTransition) as refusal:
            step(machine, state, event)
        assert refusal.value.code == "illegal_transition"


def test_the_tables_have_no_row_beyond_the_specification() -> None:
    assert {pair: row.to for pair, row in DOMAIN.items()} == LEGAL_DOMAIN
    assert {pair: row.to for pair, row in SSL.items()} == LEGAL_SSL
    assert {pair: row.to for pair, row in UPLOAD.items()} == LEGAL_UPLOAD


@pytest.mark.parametrize(("column", "states"), [("status", DOMAIN_STATES), ("ssl_status", SSL_STATES)])
def test_the_database_accepts_exactly_the_states_of_the_machine(column, states) -> None:
    directory = resources.files("control.db").joinpath("migrations")
    schema = "\n".join(file.read_text() for file in sorted(directory.iterdir(), key=lambda file: file.name))
    found = re.findall(rf"CHECK \({column} IN \(([^)]*)\)\)", schema)
    assert set(re.findall(r"'(\w+)'", found[-1])) == set(states), "the last migration's"


def test_an_event_belongs_to_one_machine_and_an_unknown_one_to_none() -> None:
    for event in EVENTS:
        owners = [machine for machine, table in TABLES.items() if any(known == event for _, known in table)]
        assert owners == [machine_of(event)]
    with pytest.raises(KeyError):
        machine_of("unknown")


def test_side_effects_belong_to_known_events() -> None:
    assert set(EFFECTS) <= set(EVENTS)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached_from_the_first(machine) -> None:
    states, legal = MACHINES[machine]
    reached = {states[0]}
    for _ in states:
        reached |= {step(machine, state, event).to for state, event in legal if state in reached}
    assert reached == set(states)


def test_resuming_leads_back_to_where_the_pause_came_from_and_forgets_it() -> None:
    for (state, event), row in SSL.items():
        if event.startswith("back_to_"):
            assert (state, row.to, row.action) == ("paused", event.removeprefix("back_to_"), "resume")
            assert step("ssl", row.to, "paused_by_tenant").to == "paused"
            assert "paused_from = NULL" in EFFECTS[event]
            assert "warn_at = NULL" in EFFECTS[event]


@given(st.lists(st.sampled_from(sorted({event for _, event in LEGAL_SSL})), max_size=40))
def test_a_pause_ends_only_as_it_began(events) -> None:
    """`resumed`, by the workers, only ends the pause of too many failures: the database holds the rest of it."""
    state = "none"
    for event in events:
        try:
            after = step("ssl", state, event).to
        except IllegalTransition:
            continue
        if state == "paused" and after != "paused":
            assert event == "resumed" or event == f"back_to_{after}"
        if after == "paused" and state != "paused":
            assert event in ("failures_exceeded", "paused_by_tenant")
        state = after


@given(st.lists(st.sampled_from(DOMAIN_EVENTS), max_size=40))
def test_no_walk_makes_a_domain_active_that_was_not_found_proven_and_loaded_in_that_order(events) -> None:
    state, taken = "pending", []
    for event in events:
        try:
            state = step("domain", state, event).to
        except IllegalTransition:
            continue  # refused: nothing has changed
        taken = [] if state == "pending" else [*taken, event]
        assert state in DOMAIN_STATES
        if state in ("active", "moved"):
            assert [one for one in taken if one not in ("moved_away", "came_back")] == [
                "record_found",
                "ownership_proven",
                "certificate_loaded",
            ]
