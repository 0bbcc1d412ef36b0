"""The destination of one migration: its journal, its daemon, its guest, and what befalls them.

Decisions are the rules'; here is only what a disk, a process and a host do. A crash may come
between any two moves, so every journal write and every effect is a move of its own.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from bmigd.migration.handoff import (
    DestinationEvent,
    DestinationState,
    Evidence,
    IllegalMove,
    Mark,
    Outcome,
    Request,
)
from bmigd.migration.steps import Step, left
from tests.sim.rules import Rules
from tests.sim.wire import REQUESTS, SAYING, WELCOME, Disk, Message, Move, Price

D = DestinationState
Plan: TypeAlias = tuple[DestinationEvent, tuple[Step, ...]]
FINAL = (D.RUNNING, D.REFUSED, D.RETURNED)


class Spool(Enum):
    """What was received."""

    EMPTY = 0
    ROOM = 1
    COMPLETE = 2


class Vmm(Enum):
    """The guest's supervisor and its hypervisor."""

    NONE = "no supervisor"
    IDLE = "never executed"
    STARTING = "not ready yet"
    RUNS = "runs"
    NEVER_RAN = "exited before it was ready"
    ENDED = "exited after it was ready"


ALIVE = (Vmm.STARTING, Vmm.RUNS)


class Destination(NamedTuple):
    """All that matters of a destination. The last six are for the checker."""

    journal: DestinationState | None = None  # None: it does not know the migration
    pending: DestinationEvent | None = None
    disk: Disk = Disk.GOOD
    is_up: bool = True
    plan: Plan | None = None
    spool: Spool = Spool.EMPTY
    vmm: Vmm = Vmm.NONE
    incarnation: int = 1
    receipt: bool = False  # can be said again
    is_gone: bool = False  # for good
    is_afresh: bool = False  # the guest was started from its firmware
    ran: bool = False  # the guest's disk may have changed here
    was_ready: bool = False
    said: Outcome | None = None  # the last final answer
    lost: str = ""  # why the guest's memory may be gone
    bug: str = ""


def moves(rules: Rules, d: Destination) -> Iterator[Move[Destination]]:
    """Everything that may happen next without hearing a message."""
    if d.is_gone:
        return
    yield from _befalls(d)
    yield from _process(d)
    if not d.is_up:
        yield from _restarts(rules, d)
    elif d.plan:
        yield from _steps(rules, d, *d.plan)
    elif d.journal:
        yield from _goes_on(rules, d, d.journal)


def hears(
    rules: Rules, d: Destination, message: Message, asked: int
) -> Iterator[Move[Destination]]:
    """What a message does when it arrives; `asked` is the journal that the source knows."""
    if not d.is_up:
        return
    label = f"destination hears {message.name}"
    if request := REQUESTS.get(message):
        yield from _asked(rules, d, request, label, asked)
    elif message is Message.RECEIVE:
        yield from _invited(d, label)
    elif d.journal is D.READY and d.receipt:
        yield Move(label, d, Message.RECEIPT)
    elif d.journal is D.RECEIVING and d.spool is not Spool.EMPTY and not d.plan:
        complete = d._replace(spool=Spool.COMPLETE)
        yield Move(label, _begins(rules, complete, DestinationEvent.CHECKED))
        flawed = _begins(rules, d, DestinationEvent.WITHDRAWN)
        yield Move(f"{label}; the check finds a flaw", flawed, price=Price.FAULT)


def is_at_rest(d: Destination) -> bool:
    """Whether nothing is left to do."""
    known = d.journal is None or d.journal in FINAL
    return d.is_gone or (d.is_up and known and not (d.plan or d.pending))


def outcome(rules: Rules, d: Destination, asked: int) -> Outcome | None:
    """What it would say now (None: it is silent)."""
    if not d.is_up:
        return None
    if not rules.is_for(_name(asked), _name(d.incarnation)):
        return Outcome.UNKNOWN
    if d.journal is None:
        return rules.on_unknown(Request.QUERY, _name(asked), _name(d.incarnation)).outcome
    return rules.answer(d.journal)


def _name(incarnation: int) -> str:
    return str(incarnation or "")


def _begins(rules: Rules, d: Destination, event: DestinationEvent) -> Destination:
    return d._replace(plan=(event, rules.destination_steps[event]))


def _invited(d: Destination, label: str) -> Iterator[Move[Destination]]:
    if d.journal is None and d.vmm not in ALIVE:
        yield Move(label, d._replace(journal=D.RECEIVING))
    elif d.journal is D.RECEIVING and d.spool is not Spool.EMPTY:
        yield Move(label, d, WELCOME[d.incarnation])


def _asked(
    rules: Rules, d: Destination, request: Request, label: str, asked: int
) -> Iterator[Move[Destination]]:
    ours = _name(d.incarnation)
    if not rules.is_for(_name(asked), ours):
        yield _answers(d, Outcome.UNKNOWN, label)
    elif d.journal is None:
        verdict = rules.on_unknown(request, _name(asked), ours)
        known = d._replace(journal=D.REFUSED) if verdict.journalled else d
        yield _answers(known, verdict.outcome, label)
    elif d.plan and request is not Request.QUERY:
        return  # it waits its turn
    elif event := rules.on_request(d.journal, request):
        yield Move(label, _begins(rules, d, event))
    else:
        yield _answers(d, rules.answer(d.journal), label)


def _answers(d: Destination, outcome: Outcome, label: str) -> Move[Destination]:
    final = outcome in (Outcome.RUNNING, Outcome.REFUSED, Outcome.RETURNED)
    said = d._replace(said=outcome) if final else d
    return Move(f"{label}, says {outcome.name}", said, SAYING[outcome])


def _goes_on(
    rules: Rules, d: Destination, journal: DestinationState
) -> Iterator[Move[Destination]]:
    if event := rules.on_lease_over(journal):
        yield Move("the lease is over", _begins(rules, d, event))
    match journal:
        case D.RECEIVING if d.spool is Spool.EMPTY:
            ready = d._replace(spool=Spool.ROOM, vmm=Vmm.IDLE)
            yield Move("destination makes room", ready, WELCOME[d.incarnation])
            flawed = _begins(rules, d, DestinationEvent.WITHDRAWN)
            yield Move("destination cannot make room", flawed, price=Price.FAULT)
        case D.TAKEN:
            yield Move("destination will start", _begins(rules, d, DestinationEvent.EXECUTING))
            flawed = _begins(rules, d, DestinationEvent.NEVER_RAN)
            yield Move("what was received is damaged", flawed, price=Price.FAULT)
        case D.STARTED:
            if seen := rules.after_execution(_evidence(d)):
                label = f"destination looks at its guest: {d.vmm.value}"
                yield Move(label, _begins(rules, d, seen))


def _steps(
    rules: Rules, d: Destination, event: DestinationEvent, steps: tuple[Step, ...]
) -> Iterator[Move[Destination]]:
    step, rest = steps[0], steps[1:]
    after = d._replace(plan=(event, rest) if rest else None)
    label = f"destination ({event.value}): {step.value}"
    match step:
        case Step.JOURNAL:
            yield _journals(rules, after, event, label)
        case Step.EXECUTE:
            bug = "" if d.spool is Spool.COMPLETE else "an incomplete guest is executed"
            yield Move(label, after._replace(vmm=Vmm.STARTING, bug=bug))
        case Step.START:
            started = after._replace(vmm=Vmm.RUNS, is_afresh=True, ran=True)
            yield Move(label, after if d.vmm in ALIVE else started)
        case Step.DROP:
            yield Move(label, after._replace(spool=Spool.EMPTY, vmm=Vmm.NONE))
        case Step.CLOSE:
            yield Move(label, after._replace(pending=None))
        case Step.KEEP:
            yield Move(label, after)
        case _:
            yield Move(label, after._replace(bug=f"a destination does not {step.value}"))


def _journals(
    rules: Rules, d: Destination, event: DestinationEvent, label: str
) -> Move[Destination]:
    assert d.journal
    try:
        journal = rules.advance_destination(d.journal, event)
    except IllegalMove as bug:
        return Move(label, d._replace(bug=str(bug)))
    pending = event if Step.CLOSE in rules.destination_steps[event] else None
    is_ready = journal is D.READY
    after = d._replace(journal=journal, pending=pending, receipt=is_ready)
    if not is_ready:
        return Move(label, after)
    return Move(label, after._replace(was_ready=True), Message.RECEIPT)


def _process(d: Destination) -> Iterator[Move[Destination]]:
    """What the guest's hypervisor does by itself, or dies of."""
    if d.vmm is Vmm.STARTING:
        yield Move("the guest runs on the destination", d._replace(vmm=Vmm.RUNS, ran=True))
        never = d._replace(vmm=Vmm.NEVER_RAN)
        yield Move("the restore fails", never, price=Price.FAULT)
    elif d.vmm is Vmm.RUNS and d.journal is D.STARTED:
        ended = d._replace(vmm=Vmm.ENDED, lost="hypervisor died")
        yield Move("the hypervisor dies", ended, price=Price.CRASH)


def _evidence(d: Destination) -> Evidence:
    return Evidence(
        has_state=d.spool is Spool.COMPLETE,
        supervisor=d.vmm is not Vmm.NONE,
        executed=d.vmm not in (Vmm.NONE, Vmm.IDLE),
        runs=d.vmm is Vmm.RUNS,
        never_ran=d.vmm is Vmm.NEVER_RAN,
        starting=d.vmm is Vmm.STARTING,
    )


def _befalls(d: Destination) -> Iterator[Move[Destination]]:
    down = d._replace(is_up=False, plan=None, receipt=False)
    if d.disk is Disk.GOOD and d.journal and d.incarnation < len(WELCOME):
        lost = down._replace(disk=Disk.GONE)
        yield Move("destination's journal is lost", lost, price=Price.JOURNAL)
        for earlier in _earlier(d):
            old = down._replace(disk=Disk.OLD, journal=earlier, pending=None)
            name = earlier or "before the migration"
            yield Move(f"destination's journal is as in {name}", old, price=Price.JOURNAL)
    dead = down._replace(spool=Spool.EMPTY, vmm=Vmm.NONE, is_afresh=False)
    if d.journal in (D.STARTED, D.RUNNING) or d.vmm in ALIVE:
        dead = dead._replace(lost="destination crashed")
    if d.is_up and not is_at_rest(d):
        yield Move("destination's daemon dies", down, price=Price.CRASH)
    if dead != d:
        yield Move("destination's host crashes", dead, price=Price.CRASH)
    gone = dead._replace(is_gone=True, disk=Disk.GONE)
    yield Move("destination's host is gone for good", gone, price=Price.CRASH)


def _earlier(d: Destination) -> list[DestinationState | None]:
    order = [D.RECEIVING, D.READY, D.TAKEN, D.STARTED]
    if d.journal in order:
        return [None, *order[: order.index(d.journal)]]
    if d.journal is D.REFUSED:
        return [None, *(order[:2] if d.was_ready else order[:1])]
    return [None, *order]


def _restarts(rules: Rules, d: Destination) -> Iterator[Move[Destination]]:
    up = d._replace(is_up=True, disk=Disk.GOOD)
    opens = d.disk is Disk.GOOD or (
        d.disk is Disk.OLD and not rules.why_not_open(Mark("here", 1), Mark("here", 2))
    )
    if not opens:
        new = up._replace(journal=None, pending=None, incarnation=d.incarnation + 1, said=None)
        yield Move("an operator makes a new journal for the destination", new)
    elif d.pending and d.journal in FINAL:
        rest = left(rules.destination_steps[d.pending])
        yield Move("destination's daemon starts", up._replace(plan=(d.pending, rest)))
    elif d.journal and (event := rules.after_restart(d.journal, _evidence(d))):
        yield Move("destination's daemon starts", _begins(rules, up, event))
    else:
        yield Move("destination's daemon starts", up)
