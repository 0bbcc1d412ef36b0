"""What must hold in every state, and what counts as settled. The rules of docs/PROTOCOL.md."""

from bmigd.migration.handoff import DestinationState, Outcome, SourceState
from tests.sim import destination as there
from tests.sim import source as here
from tests.sim.destination import ALIVE, Destination, Spool, Vmm
from tests.sim.source import CRASHED, Guest, Source
from tests.sim.wire import Disk

D, S = DestinationState, SourceState
UNDECIDED = (D.READY, D.TAKEN, D.STARTED)
GIVEN_BACK = (Outcome.REFUSED, Outcome.RETURNED)


def violation(s: Source, d: Destination) -> str:
    """What is wrong with a state, "" if nothing is."""
    return s.bug or d.bug or _two_copies(s, d) or _no_copy(s, d) or _broken_word(s, d)


def _two_copies(s: Source, d: Destination) -> str:
    runs_here, runs_there = s.guest is not Guest.DOWN, d.vmm in ALIVE
    if runs_here and runs_there:
        return "two copies run"
    if runs_here and s.went_on and not s.is_afresh and d.ran:
        return "the source brought an older memory back over a newer disk"
    if runs_there and not d.is_afresh and s.went_on:
        return "the destination runs an older memory over a newer disk"
    if runs_here and not s.may_run:
        return "a source that let go runs the guest by its own decision"
    return ""


def _no_copy(s: Source, d: Destination) -> str:
    here_ = s.guest is not Guest.DOWN or s.kept
    received = d.spool is Spool.COMPLETE and d.journal in UNDECIDED
    if here_ or received or d.vmm in ALIVE or s.lost or d.lost:
        return ""
    return "no copy of the guest can run, and no host lost its memory"


def _broken_word(s: Source, d: Destination) -> str:
    if s.let_go and not d.was_ready:
        return "the source let go before the destination was ready"
    if d.said in GIVEN_BACK and d.journal not in (D.REFUSED, D.RETURNED) and d.disk is Disk.GOOD:
        return "the destination said that it gave the guest back, and does not remember"
    if s.journal is S.RELEASED and d.journal is not D.RUNNING and _remembers(s, d):
        return "the guest is released to a destination that does not own it"
    return ""


def _remembers(s: Source, d: Destination) -> bool:
    return d.incarnation == s.peer_journal and d.disk is Disk.GOOD


def claim_is_true(s: Source, d: Destination) -> bool:
    """Whether an operator may say that the host, or its journal, is gone and cannot run it."""
    forgot = d.is_up and not _remembers(s, d)
    return d.vmm not in ALIVE and (d.is_gone or forgot)


def is_settled(s: Source, d: Destination) -> bool:
    """Whether the migration is over as it should be, on both sides."""
    if not there.is_at_rest(d):
        return False
    if s.journal is S.LET_GO:  # in doubt for good, and rightly: the guest runs there
        return s.is_up and not _remembers(s, d) and d.vmm in ALIVE
    if not here.is_at_rest(s):
        return False
    if s.journal is None:
        return True
    if s.journal is S.RELEASED:
        return not _remembers(s, d) or d.is_gone or d.vmm is Vmm.RUNS or bool(d.lost)
    return s.guest is Guest.RUNS or s.lost == CRASHED  # after it was brought back
