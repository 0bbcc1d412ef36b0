"""How a case is brought into a phase, and what then happens to its processes."""

import signal
import threading
from collections.abc import Callable

from tests.daemons import Node, eventually
from tests.e2e.faults.bench import (
    GUEST,
    HANG_S,
    LEASE_S,
    await_stop,
    crash_host,
    journalled,
    kill,
    order,
    process_of,
    state_of,
)
from tests.e2e.faults.case import Case
from tests.e2e.faults.matrix import Cell, expected
from tests.e2e.faults.results import Result

HELD_AT = {  # the source's daemon stands still there until the fault has happened
    "preparing": "source.meet_peer",
    "switchover": "source.suspended",
    "let go": "source.PEER_READY.end",
}
Undo = Callable[[], object]


def play(case: Case, cell: Cell) -> Result:
    """A fault in a phase, and all is well."""
    wanted = expected(cell)
    bring_into(case, cell)
    strike(case, cell)
    if wanted.by_operator:
        start_by_hand(case, wanted.outcome)
    return case.settle(wanted.outcome, afresh=wanted.is_afresh, by_operator=wanted.by_operator)


def bring_into(case: Case, cell: Cell) -> None:
    """Begin the migration and get to a phase of it."""
    if cell.phase == "precopy":
        case.await_copying()
    elif cell.phase == "switchover" and cell.fault.startswith("hypervisor"):
        case.bench.world.fault(case.source.name, GUEST, "suspend-slow 1.5")
        case.begin()
        case.await_phase("switchover")
    elif cell.phase in HELD_AT:
        order(case.source, HELD_AT[cell.phase], number="SIGSTOP")
        case.begin()
        await_stop(case.source)
    elif cell.phase == "handoff":
        case.bench.world.fault(case.destination.name, GUEST, "restore-slow 1.5")
        case.begin()
        eventually(lambda: _is_starting(case), what="a hypervisor that restores")
    else:
        case.begin()
        eventually(lambda: case.rows()["source"] and case.is_settled(), what="a moved guest")


def strike(case: Case, cell: Cell) -> None:
    """The fault, what follows from it, and the end of it."""
    nodes = [case.source, case.destination] if cell.side == "both" else [case.side(cell.side)]
    case.strike()
    undo = [FAULTS[cell.fault](node) for node in nodes]
    if not (cell.fault == "daemon stopped" and case.source in nodes):
        let_go_on(case.source)
    if cell.fault.endswith("stopped"):
        outlast(LEASE_S + 1 if cell.fault == "daemon stopped" else HANG_S)
    for one in undo:
        one()


def outlast(seconds: float) -> None:
    """Something that hangs is only known to hang by the time that it takes."""
    threading.Event().wait(seconds)


def _is_starting(case: Case) -> bool:
    row = journalled(case.destination, case.id)
    return bool(row and row.state == "STARTED" and process_of(case.destination, "vmm"))


def let_go_on(node: Node) -> None:
    """A daemon that was held at a point."""
    if node.process and state_of(node.process.pid) == "T":
        kill(node.process.pid, signal.SIGCONT)


def _daemon_killed(node: Node) -> Undo:
    node.stop(signal.SIGKILL)
    return node.start


def _host_crashed(node: Node) -> Undo:
    crash_host(node)
    return node.start


def _killed(program: str) -> Callable[[Node], Undo]:
    def act(node: Node) -> Undo:
        pid: int = eventually(lambda: process_of(node, program), what=f"the {program}")
        kill(pid, signal.SIGKILL)
        return lambda: eventually(lambda: state_of(pid) in ("", "Z"), what=f"end of the {program}")

    return act


def _stopped(program: str) -> Callable[[Node], Undo]:
    def act(node: Node) -> Undo:
        pid: int = eventually(lambda: process_of(node, program), what=f"the {program}")
        kill(pid, signal.SIGSTOP)
        return lambda: kill(pid, signal.SIGCONT)

    return act


FAULTS: dict[str, Callable[[Node], Undo]] = {
    "daemon killed": _daemon_killed,
    "daemon stopped": _stopped("daemon"),
    "supervisor killed": _killed("supervisor"),
    "supervisor stopped": _stopped("supervisor"),
    "hypervisor killed": _killed("vmm"),
    "hypervisor stopped": _stopped("vmm"),
    "host crashed": _host_crashed,
}


def start_by_hand(case: Case, outcome: str) -> None:
    """An operator is told that the guest is down or that nobody watches it, and starts it."""
    eventually(case.is_settled, 40, "settlement")
    owner = case.destination if outcome == "moved" else case.source
    world = case.bench.world
    seen = world.guests(GUEST)
    assert list(seen) == [owner.name], seen
    assert seen[owner.name]["state"] in ("GUEST_STATE_STOPPED", "GUEST_STATE_FAILED"), seen
    world.ctl("guest", "stop", "--force", GUEST)
    world.ctl("guest", "start", GUEST)
