"""The source of one migration: its journal, its daemon and its guest, and what befalls them.

Decisions are the rules'; here is only what a disk, a process and a host do. A crash may come
between any two moves, so every journal write and every effect is a move of its own.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from bmigd.migration.handoff import (
    MAX_COMMITS,
    Ask,
    IllegalMove,
    Mark,
    Outcome,
    SourceEvent,
    SourceState,
)
from bmigd.migration.steps import Step, left
from tests.sim.rules import Rules
from tests.sim.wire import OUTCOMES, WELCOMES, Disk, Message, Move, Price

ROOT = b"root"
CRASHED = "source crashed"
ASKING = {Ask.COMMIT: Message.COMMIT, Ask.ABORT: Message.ABORT, Ask.QUERY: Message.QUERY}
Plan: TypeAlias = tuple[SourceEvent, tuple[Step, ...]]


class Guest(Enum):
    """The guest's process on the source."""

    RUNS = "runs"
    STOPPING = "is being suspended"
    DOWN = "is down"


class Source(NamedTuple):
    """All that matters of a source. The last five are for the checker; no decision sees them."""

    journal: SourceState | None = SourceState.MIGRATING  # None: a new journal, which knows nothing
    pending: SourceEvent | None = None
    disk: Disk = Disk.GOOD
    is_up: bool = True
    plan: Plan | None = None
    is_copying: bool = True  # what is known of pages; only in the daemon's memory
    guest: Guest = Guest.RUNS
    kept: bool = False  # memory and state of the suspended guest
    peer_journal: int = 0  # the journal that took part; 0 is not known yet
    receipt: bool = False
    ask: Ask = Ask.COMMIT
    commits: int = 0
    is_unwritten: bool = False  # LET_GO could not be written; it may be durable all the same
    is_afresh: bool = False  # the guest was started from its firmware
    went_on: bool = False  # the guest has run here since it was suspended
    let_go: bool = False
    may_run: bool = True  # owns the guest, was told that it has it back, or was resolved
    lost: str = ""  # why the guest's memory may be gone
    bug: str = ""


def moves(rules: Rules, s: Source) -> Iterator[Move[Source]]:
    """Everything that may happen next without hearing a message."""
    yield from _befalls(s)
    yield from _process(s)
    if not s.is_up:
        yield from _restarts(rules, s)
    elif s.plan:
        yield from _steps(rules, s, *s.plan)
    elif s.is_unwritten:
        yield from _waits_for_its_disk(rules, s)
    elif s.journal is SourceState.MIGRATING and s.is_copying:
        yield from _migrates(rules, s)
    elif s.journal is SourceState.LET_GO:
        commits = min(MAX_COMMITS, s.commits + (s.ask is Ask.COMMIT))
        yield Move(f"source asks: {s.ask.value}", s._replace(commits=commits), ASKING[s.ask])
        yield Move("source hears nothing", _settles(rules, s, None))


def hears(rules: Rules, s: Source, message: Message) -> Iterator[Move[Source]]:
    """What a message does when it arrives."""
    label = f"source hears {message.name}"
    if not s.is_up or s.plan:
        return
    if s.is_unwritten:
        if message in OUTCOMES:
            yield from _goes_on_unwritten(rules, label, s, OUTCOMES[message])
        return
    if s.journal is SourceState.LET_GO and message in OUTCOMES:
        yield Move(label, _settles(rules, s, OUTCOMES[message]))
    if s.journal is not SourceState.MIGRATING:
        return
    if message in WELCOMES and not s.peer_journal:
        yield Move(label, s._replace(peer_journal=WELCOMES[message]))
    if message is Message.RECEIPT and s.kept and not s.receipt:
        yield Move(label, s._replace(receipt=True))


def resolves(rules: Rules, s: Source, outcome: Outcome | None) -> Source | None:
    """An operator says that the other host is gone; None if he is refused."""
    if not s.is_up or s.plan or s.journal is None or rules.why_not_resolve(s.journal, outcome):
        return None
    return _begins(rules, s._replace(may_run=True, lost=s.lost or "resolved"), SourceEvent.RESOLVED)


def is_at_rest(s: Source) -> bool:
    """Whether nothing is left to do."""
    open_ = s.journal in (SourceState.MIGRATING, SourceState.LET_GO)
    return s.is_up and not (open_ or s.plan or s.pending or s.is_unwritten)


def _begins(rules: Rules, s: Source, event: SourceEvent) -> Source:
    return s._replace(plan=(event, rules.source_steps[event]))


def _migrates(rules: Rules, s: Source) -> Iterator[Move[Source]]:
    yield Move("source fails or is cancelled", _begins(rules, s, SourceEvent.FAILED))
    if not s.peer_journal:
        yield Move("source asks to receive the guest", s, Message.RECEIVE)
        return
    if s.guest is Guest.RUNS:
        yield Move("source asks for the suspend", s._replace(guest=Guest.STOPPING))
    if s.kept:
        yield Move("source delivers the state", s, Message.DELIVER)
    if s.guest is Guest.DOWN and rules.may_let_go(ROOT, ROOT if s.receipt else None):
        yield Move("source is about to let go", _begins(rules, s, SourceEvent.PEER_READY))


def _waits_for_its_disk(rules: Rules, s: Source) -> Iterator[Move[Source]]:
    yield Move("source, unwritten, asks to withdraw", s, Message.ABORT)
    yield from _goes_on_unwritten(rules, "source, unwritten, hears nothing", s, None)
    mended = s._replace(is_unwritten=False)
    if s.journal is SourceState.MIGRATING:
        mended = _begins(rules, mended, SourceEvent.FAILED)
    yield Move("source's disk is mended", mended)


def _goes_on_unwritten(
    rules: Rules, label: str, s: Source, outcome: Outcome | None
) -> Iterator[Move[Source]]:
    if rules.is_withdrawn(outcome):
        told = outcome in (Outcome.REFUSED, Outcome.RETURNED)
        yield from _brought_back(label, s._replace(may_run=s.may_run or told))


def _settles(rules: Rules, s: Source, outcome: Outcome | None) -> Source:
    step = rules.after_let_go(outcome, s.commits)
    if isinstance(step, Ask):
        return s._replace(ask=step)
    told = outcome in (Outcome.REFUSED, Outcome.RETURNED)
    return _begins(rules, s._replace(may_run=s.may_run or told), step)


def _steps(
    rules: Rules, s: Source, event: SourceEvent, steps: tuple[Step, ...]
) -> Iterator[Move[Source]]:
    step, rest = steps[0], steps[1:]
    after = s._replace(plan=(event, rest) if rest else None)
    label = f"source ({event.value}): {step.value}"
    match step:
        case Step.JOURNAL:
            written = _journals(rules, after, event)
            yield Move(label, written)
            if event is SourceEvent.PEER_READY:
                lost = after._replace(is_unwritten=True, is_copying=False, receipt=False)
                durable = written._replace(is_unwritten=True)
                yield Move(f"{label}: it cannot be written", lost, price=Price.FAULT)
                yield Move(f"{label}: it cannot be written, and is", durable, price=Price.FAULT)
        case Step.BRING_BACK:
            yield from _brought_back(label, after)
        case Step.START:
            yield Move(label, _afresh(after) if s.guest is Guest.DOWN else after)
        case Step.TELL:
            waits = s.guest is Guest.DOWN and (s.kept or s.journal is SourceState.MIGRATING)
            bug = "the peer is told while the guest is down" if waits else ""
            yield Move(label, after._replace(bug=bug), Message.ABORT)
        case Step.DROP:
            yield Move(label, after._replace(kept=False, guest=Guest.DOWN))
        case Step.CLOSE:
            yield Move(label, after._replace(pending=None))
        case _:
            yield Move(label, after._replace(bug=f"a source does not {step.value}"))


def _journals(rules: Rules, s: Source, event: SourceEvent) -> Source:
    assert s.journal
    try:
        journal = rules.advance_source(s.journal, event)
    except IllegalMove as bug:
        return s._replace(bug=str(bug))
    pending = event if Step.CLOSE in rules.source_steps[event] else None
    if journal is SourceState.LET_GO:
        s = s._replace(let_go=True, may_run=False)
    return s._replace(journal=journal, pending=pending, is_copying=False, receipt=False)


def _brought_back(label: str, s: Source) -> Iterator[Move[Source]]:
    if s.guest is not Guest.DOWN:
        yield Move(label, s._replace(guest=Guest.RUNS))  # a suspend under way is undone
    elif s.kept:
        yield Move(label, s._replace(guest=Guest.RUNS, kept=False, went_on=True))
        worse = _afresh(s._replace(lost="restore failed"))
        yield Move(f"{label}; restore fails", worse, price=Price.FAULT)
    else:
        yield Move(label, _afresh(s))


def _afresh(s: Source) -> Source:
    return s._replace(guest=Guest.RUNS, kept=False, is_afresh=True, went_on=True)


def _process(s: Source) -> Iterator[Move[Source]]:
    """What the guest's process does by itself."""
    if s.guest is not Guest.STOPPING:
        return
    yield Move("source's guest is suspended", s._replace(guest=Guest.DOWN, kept=True))
    yield Move("the suspend fails", s._replace(guest=Guest.RUNS), price=Price.FAULT)
    unsaved = s._replace(guest=Guest.DOWN, lost="suspend saved nothing")
    yield Move("the suspend ends the guest unsaved", unsaved, price=Price.FAULT)


def _befalls(s: Source) -> Iterator[Move[Source]]:
    down = s._replace(is_up=False, plan=None, is_copying=False, receipt=False)
    down = down._replace(ask=Ask.COMMIT, commits=0, is_unwritten=False)
    if s.disk is Disk.GOOD and s.journal:
        lost = down._replace(disk=Disk.GONE)
        yield Move("source's journal is lost", lost, price=Price.JOURNAL)
        for earlier in (SourceState.MIGRATING, SourceState.LET_GO):
            was = earlier is SourceState.MIGRATING or s.let_go
            if was and s.journal not in (SourceState.MIGRATING, earlier):
                old = down._replace(disk=Disk.OLD, journal=earlier, pending=None)
                yield Move(f"source's journal is as in {earlier}", old, price=Price.JOURNAL)
    if is_at_rest(s):
        return
    if s.is_up:
        yield Move("source's daemon dies", down, price=Price.CRASH)
    if s.guest is not Guest.DOWN or s.kept or s.is_up:
        held = s.guest is not Guest.DOWN or s.kept
        dead = down._replace(guest=Guest.DOWN, kept=False, is_afresh=False)
        dead = dead._replace(lost=CRASHED if held else s.lost)
        yield Move("source's host crashes", dead, price=Price.CRASH)


def _restarts(rules: Rules, s: Source) -> Iterator[Move[Source]]:
    up = s._replace(is_up=True, disk=Disk.GOOD)
    opens = s.disk is Disk.GOOD or (
        s.disk is Disk.OLD and not rules.why_not_open(Mark("source", 1), Mark("source", 2))
    )
    if not opens:
        new = up._replace(journal=None, pending=None)
        yield Move("an operator makes a new journal for the source", new)
    elif s.journal and (event := rules.source_after_restart(s.journal)):
        yield Move("source's daemon starts", _begins(rules, up, event))
    elif s.pending:
        rest = left(rules.source_steps[s.pending])
        yield Move("source's daemon starts", up._replace(plan=(s.pending, rest)))
    else:
        yield Move("source's daemon starts", up)
