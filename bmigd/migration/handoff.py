"""Who owns the guest: the journalled states of both sides, and every decision about them. Pure.

The rules (docs/PROTOCOL.md tells why):
- Before LET_GO the source owns the guest, and only then may it run it by its own decision.
- From LET_GO on the destination decides, and the source waits for its answer, however long.
- STARTED is journalled immediately before the hypervisor is executed. From there the guest goes
  back only if its supervisor saw the hypervisor exit before it signalled that the guest runs.
- A question about a migration that the destination does not know is answered REFUSED, for good;
  a journal that is not the one that took part, or an older copy of it, says nothing.

What is done in which order is in steps.py. tests/sim explores both exhaustively.
"""

from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple


class SourceState(StrEnum):
    """What the source's journal says."""

    MIGRATING = "MIGRATING"
    LET_GO = "LET_GO"
    RELEASED = "RELEASED"
    ABORTED = "ABORTED"
    RECLAIMED = "RECLAIMED"


class SourceEvent(StrEnum):
    """What changes it."""

    PEER_READY = "peer ready"
    FAILED = "failed or cancelled"
    RESTARTED = "daemon restarted"
    PEER_RUNS_IT = "peer runs it"
    PEER_GAVE_IT_BACK = "peer refused or returned it"
    RESOLVED = "operator resolved"


class DestinationState(StrEnum):
    """What the destination's journal says."""

    RECEIVING = "RECEIVING"
    READY = "READY"
    TAKEN = "TAKEN"
    STARTED = "STARTED"
    RUNNING = "RUNNING"
    REFUSED = "REFUSED"
    RETURNED = "RETURNED"


BACK = (SourceState.ABORTED, SourceState.RECLAIMED)  # the guest is the source's, as ever
TAKEN_OVER = (DestinationState.TAKEN, DestinationState.STARTED, DestinationState.RUNNING)


class DestinationEvent(StrEnum):
    """What changes it."""

    CHECKED = "everything checked"
    COMMITTED = "committed"
    WITHDRAWN = "aborted, failed or lease over"
    EXECUTING = "about to execute"
    GUEST_RUNS = "guest runs, or may have run"
    NEVER_RAN = "surely never ran"


SOURCE: dict[SourceState, dict[SourceEvent, SourceState]] = {
    SourceState.MIGRATING: {
        SourceEvent.PEER_READY: SourceState.LET_GO,
        SourceEvent.FAILED: SourceState.ABORTED,
        SourceEvent.RESTARTED: SourceState.ABORTED,
    },
    SourceState.LET_GO: {
        SourceEvent.PEER_RUNS_IT: SourceState.RELEASED,
        SourceEvent.PEER_GAVE_IT_BACK: SourceState.RECLAIMED,
        SourceEvent.RESOLVED: SourceState.RECLAIMED,
    },
    SourceState.RELEASED: {},
    SourceState.ABORTED: {},
    SourceState.RECLAIMED: {},
}

DESTINATION: dict[DestinationState, dict[DestinationEvent, DestinationState]] = {
    DestinationState.RECEIVING: {
        DestinationEvent.CHECKED: DestinationState.READY,
        DestinationEvent.WITHDRAWN: DestinationState.REFUSED,
    },
    DestinationState.READY: {
        DestinationEvent.COMMITTED: DestinationState.TAKEN,
        DestinationEvent.WITHDRAWN: DestinationState.REFUSED,
    },
    DestinationState.TAKEN: {
        DestinationEvent.EXECUTING: DestinationState.STARTED,
        DestinationEvent.NEVER_RAN: DestinationState.RETURNED,
    },
    DestinationState.STARTED: {
        DestinationEvent.GUEST_RUNS: DestinationState.RUNNING,
        DestinationEvent.NEVER_RAN: DestinationState.RETURNED,
    },
    DestinationState.RUNNING: {},
    DestinationState.REFUSED: {},
    DestinationState.RETURNED: {},
}


class IllegalMove(AssertionError):
    """An event that the table does not know in that state: a bug, never a failure."""


def advance_source(state: SourceState, event: SourceEvent) -> SourceState:
    """The next state of the source."""
    if event not in SOURCE[state]:
        raise IllegalMove(f"source: {event} in {state}")
    return SOURCE[state][event]


def advance_destination(state: DestinationState, event: DestinationEvent) -> DestinationState:
    """The next state of the destination."""
    if event not in DESTINATION[state]:
        raise IllegalMove(f"destination: {event} in {state}")
    return DESTINATION[state][event]


class Outcome(IntEnum):
    """What the destination answers, numbered as in the contract."""

    RECEIVING = 1
    READY = 2
    TAKEN = 3
    RUNNING = 4
    REFUSED = 5
    RETURNED = 6
    UNKNOWN = 7


def answer(state: DestinationState) -> Outcome:
    """What the destination says of a migration in that state."""
    if state is DestinationState.STARTED:
        return Outcome.TAKEN  # not finished: ask again
    return Outcome[state.name]


class Request(Enum):
    """What a source may want of a destination's journal."""

    COMMIT = "commit"
    ABORT = "abort"
    QUERY = "query"


def is_for(asked_incarnation: str, our_incarnation: str) -> bool:
    """Whether a question is about this journal ("": the source never learned of any)."""
    return not asked_incarnation or asked_incarnation == our_incarnation


def on_request(state: DestinationState, request: Request) -> DestinationEvent | None:
    """What a request does to a known migration (None: only answer). See also on_unknown."""
    match state, request:
        case DestinationState.READY, Request.COMMIT:
            return DestinationEvent.COMMITTED
        case DestinationState.RECEIVING, Request.COMMIT:
            return DestinationEvent.WITHDRAWN  # never ready, so it must never run
        case ((DestinationState.RECEIVING | DestinationState.READY), Request.ABORT):
            return DestinationEvent.WITHDRAWN
        case _:
            return None


class Verdict(NamedTuple):
    """What is answered for an id that the journal does not know."""

    outcome: Outcome
    journalled: bool  # it must be written before it is said, so that late messages find it


def on_unknown(request: Request, asked_incarnation: str, our_incarnation: str) -> Verdict:
    """The answer for an id that this journal does not know.

    Another incarnation, or a commit, means that what was decided has been forgotten: nobody
    commits what was never ready. A forgotten RUNNING must not become a second copy.
    """
    if request is Request.COMMIT or not is_for(asked_incarnation, our_incarnation):
        return Verdict(Outcome.UNKNOWN, journalled=False)
    return Verdict(Outcome.REFUSED, journalled=True)


def on_lease_over(state: DestinationState) -> DestinationEvent | None:
    """What a silent source means; from TAKEN on, nothing: only the guest's fate decides."""
    if state in (DestinationState.RECEIVING, DestinationState.READY):
        return DestinationEvent.WITHDRAWN
    return None


def may_let_go(root: bytes, receipt_root: bytes | None) -> bool:
    """Whether the source may let go: the other node is READY, with the memory that was sent."""
    return receipt_root == root


def why_not_resolve(state: SourceState, outcome: Outcome | None) -> str:
    """Why an operator may not take the guest back ("" if he may). None: the peer is silent.

    Where the journal or the peer itself tells what became of the guest, no word of an operator
    may say otherwise.
    """
    if state is not SourceState.LET_GO:
        return "NOT_IN_DOUBT"
    if outcome not in (None, Outcome.UNKNOWN):
        return "PEER_ANSWERS"
    return ""


def is_withdrawn(outcome: Outcome | None) -> bool:
    """Whether a source that could not write LET_GO, and never committed, may run the guest again.

    What could not be written may be durable all the same, and would be committed after a restart:
    so the destination must have said that it never will run it.
    """
    return outcome in (Outcome.REFUSED, Outcome.RETURNED)


class Mark(NamedTuple):
    """How far a journal has come; kept in it, and once more outside of it."""

    incarnation: str
    writes: int


def why_not_open(journal: Mark, kept: Mark | None) -> str:
    """Why a journal may not be used ("" if it may), by the mark kept outside of it.

    An older copy has forgotten what this node did and said, so it is as bad as none. A write that
    had not reached the mark has allowed nothing yet.
    """
    if kept is None or kept.incarnation != journal.incarnation:
        return "JOURNAL_FOREIGN"
    return "JOURNAL_OLD" if journal.writes < kept.writes else ""


class Ask(Enum):
    """What a source that let go does next."""

    COMMIT = "commit again"
    ABORT = "ask to withdraw"
    QUERY = "ask again later"


MAX_COMMITS = 3


def after_let_go(outcome: Outcome | None, commits: int) -> SourceEvent | Ask:
    """What a source in LET_GO makes of an answer (None: there was none)."""
    match outcome:
        case Outcome.RUNNING:
            return SourceEvent.PEER_RUNS_IT
        case Outcome.REFUSED | Outcome.RETURNED:
            return SourceEvent.PEER_GAVE_IT_BACK
        case Outcome.READY:
            return Ask.COMMIT if commits < MAX_COMMITS else Ask.ABORT
        case Outcome.RECEIVING:
            return Ask.ABORT
        case Outcome.TAKEN | Outcome.UNKNOWN | None:
            return Ask.QUERY


class Evidence(NamedTuple):
    """What a destination finds of a guest after a failure or a restart."""

    has_state: bool  # memory and device state are complete
    supervisor: bool  # the guest's supervisor is there: the host did not crash
    executed: bool  # the supervisor was told to execute the hypervisor
    runs: bool  # the guest runs
    never_ran: bool  # the supervisor saw the hypervisor exit before it signalled
    starting: bool = False  # the hypervisor is there and has not signalled yet


def after_restart(state: DestinationState, found: Evidence) -> DestinationEvent | None:
    """What a restarted destination does first (None: go on from that state)."""
    match state:
        case DestinationState.RECEIVING:
            return DestinationEvent.WITHDRAWN  # page hashes were in memory
        case DestinationState.READY:
            return None if found.has_state else DestinationEvent.WITHDRAWN
        case DestinationState.TAKEN:
            return None if found.has_state else DestinationEvent.NEVER_RAN
        case DestinationState.STARTED:
            return after_execution(found)
        case _:
            return None


def after_execution(found: Evidence) -> DestinationEvent | None:
    """What became of a guest in STARTED (None: its hypervisor is still starting, look again)."""
    if found.runs:
        return DestinationEvent.GUEST_RUNS
    if found.starting:
        return None  # to call it RUNNING now would lose the guest if it fails
    if found.supervisor and (found.never_ran or not found.executed):
        return DestinationEvent.NEVER_RAN
    return DestinationEvent.GUEST_RUNS  # it may have run: it is ours
