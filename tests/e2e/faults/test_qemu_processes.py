"""The same of a QEMU guest: processes are killed and hosts crash, in the phases where that is not
what it is for a micro-VM.

A source's QEMU stands still, and stays, until the guest is surely another node's; a destination's
waits from the beginning.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from tests import qemu
from tests.cluster import Cluster
from tests.daemons import eventually
from tests.e2e.faults.bench import Bench, await_stop, order
from tests.e2e.faults.case import Case
from tests.e2e.faults.conftest import Benches
from tests.e2e.faults.matrix import EITHER, MOVED, STAYED, Cell, Expected
from tests.e2e.faults.results import Name, Result, keep
from tests.e2e.faults.strikes import HELD_AT, let_go_on, start_by_hand, strike
from tests.e2e.qemu.world import CONFIG, make_guest

pytestmark = [pytest.mark.e2e, qemu.needed]

FAULTS = "daemon killed", "supervisor killed", "hypervisor killed", "host crashed"
PHASES = "precopy", "switchover", "let go", "handoff"
SIDES = "source", "destination"
CELLS = [Cell(*one) for one in product(FAULTS, PHASES, SIDES)]
SET_OFF = "destination.EXECUTING.end"
MIB = 1 << 20

EXPECTED = {
    ("supervisor killed", "precopy", "source"): Expected(STAYED, True, True),
    ("supervisor killed", "switchover", "source"): Expected(MOVED),  # all that is needed is saved
    ("hypervisor killed", "precopy", "source"): Expected(STAYED, True, True),
    # Its state is saved and its memory is mapped; whether the log of its writes still answers
    # depends on how fast it ends.
    ("hypervisor killed", "switchover", "source"): Expected(EITHER),
    ("host crashed", "precopy", "source"): Expected(STAYED, True),
    ("host crashed", "switchover", "source"): Expected(STAYED, True),
    # What it was to become is lost, and nothing of it ran: it goes on where it stands still.
    ("hypervisor killed", "let go", "destination"): Expected(STAYED),
    ("host crashed", "let go", "destination"): Expected(STAYED),
    # It was set off: it runs, or ran, there and nowhere else.
    ("hypervisor killed", "handoff", "destination"): Expected(MOVED, True, True),
    ("supervisor killed", "handoff", "destination"): Expected(MOVED, True, True),
    ("host crashed", "handoff", "destination"): Expected(MOVED, True),
}


def expected(cell: Cell) -> Expected:
    """What must come of it."""
    if cell in EXPECTED:
        return EXPECTED[cell]
    if cell.phase in ("precopy", "switchover"):
        return Expected(STAYED)
    return Expected(EITHER if cell.phase == "let go" else MOVED)


def one_of_qemu(world: Cluster, name: str, node: str) -> None:
    """A guest of QEMU."""
    make_guest(world, name, node)


@pytest.fixture(name="qemus", scope="module")
def make_qemus() -> Iterator[Benches]:
    benches = Benches(lambda: Bench.built(one_of_qemu, qemu=CONFIG))
    yield benches
    benches.drop()


@pytest.mark.parametrize("cell", CELLS, ids=["-".join(one).replace(" ", "_") for one in CELLS])
def test_whatever_befalls_a_process_the_guest_ends_up_once(qemus: Benches, cell: Cell) -> None:
    with qemus.case() as case:
        keep(Name(f"QEMU: {cell.fault}", cell.phase, cell.side), play(case, cell))


def play(case: Case, cell: Cell) -> Result:
    """A fault in a phase, and all is well."""
    wanted = expected(cell)
    bring_into(case, cell.phase)
    strike(case, cell)
    let_go_on(case.destination)
    if wanted.by_operator:
        start_by_hand(case, wanted.outcome)
    return case.settle(wanted.outcome, afresh=wanted.is_afresh, by_operator=wanted.by_operator)


def bring_into(case: Case, phase: str) -> None:
    """Begin the migration and get to a phase of it."""
    if phase == "precopy":
        case.begin("--bandwidth", "4M", "--codec", "raw")
        eventually(lambda: sent_bytes(case) > MIB, what="memory")
    elif phase in HELD_AT:
        order(case.source, HELD_AT[phase], number="SIGSTOP")
        case.begin()
        await_stop(case.source)
    else:
        order(case.destination, SET_OFF, number="SIGSTOP")
        case.begin()
        await_stop(case.destination)


def sent_bytes(case: Case) -> int:
    """Of the guest's memory so far."""
    found = [one for one in case.bench.world.migrations("vm1") if one["id"] == case.id]
    return int(found[0]["progress"]["sent_bytes"]) if found else 0
