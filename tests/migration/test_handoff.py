"""The table of ownership, move by move: what may follow what, and nothing else.

tests/sim explores what two sides make of it together; here every state meets every event, request,
answer and finding once.
"""

from itertools import product

import pytest

from bmigd.migration.handoff import (
    MAX_COMMITS,
    Ask,
    DestinationEvent,
    DestinationState,
    Evidence,
    IllegalMove,
    Mark,
    Outcome,
    Request,
    SourceEvent,
    SourceState,
    Verdict,
    advance_destination,
    advance_source,
    after_execution,
    after_let_go,
    after_restart,
    answer,
    is_for,
    is_withdrawn,
    may_let_go,
    on_lease_over,
    on_request,
    on_unknown,
    why_not_open,
    why_not_resolve,
)

S, SE, D, DE = SourceState, SourceEvent, DestinationState, DestinationEvent

# Written again by hand, from the words of docs/PROTOCOL.md: the code's own table proves nothing.
SOURCE_MOVES = {
    (S.MIGRATING, SE.PEER_READY): S.LET_GO,
    (S.MIGRATING, SE.FAILED): S.ABORTED,
    (S.MIGRATING, SE.RESTARTED): S.ABORTED,
    (S.LET_GO, SE.PEER_RUNS_IT): S.RELEASED,
    (S.LET_GO, SE.PEER_GAVE_IT_BACK): S.RECLAIMED,
    (S.LET_GO, SE.RESOLVED): S.RECLAIMED,
}
DESTINATION_MOVES = {
    (D.RECEIVING, DE.CHECKED): D.READY,
    (D.RECEIVING, DE.WITHDRAWN): D.REFUSED,
    (D.READY, DE.COMMITTED): D.TAKEN,
    (D.READY, DE.WITHDRAWN): D.REFUSED,
    (D.TAKEN, DE.EXECUTING): D.STARTED,
    (D.TAKEN, DE.NEVER_RAN): D.RETURNED,
    (D.STARTED, DE.GUEST_RUNS): D.RUNNING,
    (D.STARTED, DE.NEVER_RAN): D.RETURNED,
}
ALL_EVIDENCE = [Evidence(*bits) for bits in product([False, True], repeat=6)]


@pytest.mark.parametrize(("state", "event"), list(product(S, SE)))
def test_source_moves_as_the_protocol_says_and_not_otherwise(
    state: SourceState, event: SourceEvent
) -> None:
    if (state, event) in SOURCE_MOVES:
        assert advance_source(state, event) is SOURCE_MOVES[state, event]
    else:
        with pytest.raises(IllegalMove):
            advance_source(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(D, DE)))
def test_destination_moves_as_the_protocol_says_and_not_otherwise(
    state: DestinationState, event: DestinationEvent
) -> None:
    if (state, event) in DESTINATION_MOVES:
        assert advance_destination(state, event) is DESTINATION_MOVES[state, event]
    else:
        with pytest.raises(IllegalMove):
            advance_destination(state, event)


def test_an_illegal_move_is_a_bug_and_never_a_failure_of_a_migration() -> None:
    assert issubclass(IllegalMove, AssertionError)


def test_a_source_that_let_go_never_gets_the_guest_back_by_its_own_decision() -> None:
    own = {SE.FAILED, SE.RESTARTED, SE.PEER_READY}
    assert not [event for state, event in SOURCE_MOVES if state is S.LET_GO and event in own]


def test_a_guest_that_may_have_run_is_returned_only_on_proof() -> None:
    assert [
        event
        for (state, event), to in DESTINATION_MOVES.items()
        if state is D.STARTED and to is not D.RUNNING
    ] == [DE.NEVER_RAN]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (D.RECEIVING, Outcome.RECEIVING),
        (D.READY, Outcome.READY),
        (D.TAKEN, Outcome.TAKEN),
        (D.STARTED, Outcome.TAKEN),  # not finished: ask again
        (D.RUNNING, Outcome.RUNNING),
        (D.REFUSED, Outcome.REFUSED),
        (D.RETURNED, Outcome.RETURNED),
    ],
)
def test_the_destination_answers_what_its_journal_says(
    state: DestinationState, outcome: Outcome
) -> None:
    assert answer(state) is outcome


@pytest.mark.parametrize(("state", "request_"), list(product(D, Request)))
def test_only_ready_is_committed_and_only_undecided_is_withdrawn(
    state: DestinationState, request_: Request
) -> None:
    expected = {
        (D.READY, Request.COMMIT): DE.COMMITTED,
        (D.RECEIVING, Request.COMMIT): DE.WITHDRAWN,  # never ready: it must never run
        (D.READY, Request.ABORT): DE.WITHDRAWN,
        (D.RECEIVING, Request.ABORT): DE.WITHDRAWN,
    }
    event = on_request(state, request_)
    assert event is expected.get((state, request_))
    if event:
        advance_destination(state, event)  # and it is legal


def test_a_request_may_be_repeated_without_another_effect() -> None:
    for state, request in product(D, Request):
        event = on_request(state, request)
        if event:
            after = advance_destination(state, event)
            assert on_request(after, request) is None


@pytest.mark.parametrize("request_", [Request.ABORT, Request.QUERY])
@pytest.mark.parametrize("asked", ["", "ours"])
def test_an_unknown_id_is_refused_and_written_down_by_the_journal_that_would_know(
    request_: Request, asked: str
) -> None:
    assert on_unknown(request_, asked, "ours") == Verdict(Outcome.REFUSED, journalled=True)


@pytest.mark.parametrize("request_", Request)
def test_another_journal_says_nothing_of_an_unknown_id(request_: Request) -> None:
    assert on_unknown(request_, "another", "ours") == Verdict(Outcome.UNKNOWN, journalled=False)


@pytest.mark.parametrize("asked", ["", "ours", "another"])
def test_a_commit_of_an_unknown_id_is_never_refused_because_it_was_ready_once(asked: str) -> None:
    assert on_unknown(Request.COMMIT, asked, "ours").outcome is Outcome.UNKNOWN


def test_a_question_is_for_the_journal_that_it_names_or_for_any_if_it_names_none() -> None:
    assert is_for("ours", "ours")
    assert is_for("", "ours")
    assert not is_for("another", "ours")


def test_a_lease_ends_only_what_nobody_committed() -> None:
    assert {state for state in D if on_lease_over(state)} == {D.RECEIVING, D.READY}


def test_a_guest_is_let_go_only_to_a_node_with_equal_memory() -> None:
    assert may_let_go(b"root", b"root")
    assert not may_let_go(b"root", b"other")
    assert not may_let_go(b"root", None)


@pytest.mark.parametrize(("state", "outcome"), list(product(S, [*Outcome, None])))
def test_an_operator_decides_only_in_doubt_and_where_nobody_else_can_tell(
    state: SourceState, outcome: Outcome | None
) -> None:
    refused = why_not_resolve(state, outcome)
    if state is not S.LET_GO:
        assert refused == "NOT_IN_DOUBT"
    elif outcome in (Outcome.UNKNOWN, None):
        assert not refused
    else:
        assert refused == "PEER_ANSWERS"


@pytest.mark.parametrize(
    ("kept", "refused"),
    [
        (Mark("ours", 7), ""),
        (Mark("ours", 6), ""),  # the last write had not reached the mark: it allowed nothing yet
        (Mark("ours", 8), "JOURNAL_OLD"),
        (Mark("another", 7), "JOURNAL_FOREIGN"),
        (None, "JOURNAL_FOREIGN"),
    ],
)
def test_a_journal_that_has_forgotten_something_is_not_opened(
    kept: Mark | None, refused: str
) -> None:
    assert why_not_open(Mark("ours", 7), kept) == refused


@pytest.mark.parametrize("commits", range(MAX_COMMITS + 2))
def test_a_source_that_let_go_waits_for_a_decision_however_long(commits: int) -> None:
    assert after_let_go(Outcome.RUNNING, commits) is SE.PEER_RUNS_IT
    assert after_let_go(Outcome.REFUSED, commits) is SE.PEER_GAVE_IT_BACK
    assert after_let_go(Outcome.RETURNED, commits) is SE.PEER_GAVE_IT_BACK
    assert after_let_go(Outcome.RECEIVING, commits) is Ask.ABORT
    for undecided in (Outcome.TAKEN, Outcome.UNKNOWN, None):
        assert after_let_go(undecided, commits) is Ask.QUERY


def test_a_ready_peer_is_asked_to_commit_a_bounded_number_of_times() -> None:
    asks = [after_let_go(Outcome.READY, commits) for commits in range(MAX_COMMITS + 3)]
    assert asks == [Ask.COMMIT] * MAX_COMMITS + [Ask.ABORT] * 3


@pytest.mark.parametrize("found", ALL_EVIDENCE)
def test_a_restarted_destination_forgets_what_it_was_receiving(found: Evidence) -> None:
    assert after_restart(D.RECEIVING, found) is DE.WITHDRAWN


@pytest.mark.parametrize("found", ALL_EVIDENCE)
def test_a_restarted_destination_keeps_what_is_complete(found: Evidence) -> None:
    assert after_restart(D.READY, found) is (None if found.has_state else DE.WITHDRAWN)
    assert after_restart(D.TAKEN, found) is (None if found.has_state else DE.NEVER_RAN)


@pytest.mark.parametrize("found", ALL_EVIDENCE)
def test_a_guest_that_was_being_started_goes_back_only_if_its_supervisor_saw_that_it_never_ran(
    found: Evidence,
) -> None:
    event = after_restart(D.STARTED, found)
    assert event is after_execution(found)
    if found.starting and not found.runs:
        assert event is None  # look again
        return
    proved = found.supervisor and not found.runs and (found.never_ran or not found.executed)
    assert event is (DE.NEVER_RAN if proved else DE.GUEST_RUNS)


@pytest.mark.parametrize("state", [D.RUNNING, D.REFUSED, D.RETURNED])
@pytest.mark.parametrize("found", ALL_EVIDENCE)
def test_what_is_decided_stays_decided_after_a_restart(
    state: DestinationState, found: Evidence
) -> None:
    assert after_restart(state, found) is None


@pytest.mark.parametrize(("state", "found"), list(product(D, ALL_EVIDENCE)))
def test_a_restart_only_makes_legal_moves(state: DestinationState, found: Evidence) -> None:
    event = after_restart(state, found)
    if event:
        advance_destination(state, event)


def test_a_source_that_could_not_write_goes_on_only_when_the_other_node_never_will() -> None:
    assert {one for one in (*Outcome, None) if is_withdrawn(one)} == {
        Outcome.REFUSED,
        Outcome.RETURNED,
    }
