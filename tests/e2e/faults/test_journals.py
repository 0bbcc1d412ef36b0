"""The disk under a journal is full or does not sync, or the journal is not what it was: no guest is
lost or runs twice, and what must be mended is said.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from tests import needs
from tests.cluster import Node, eventually
from tests.e2e.faults.bench import GUEST, await_death, await_stop, kill, order
from tests.e2e.faults.case import Case
from tests.e2e.faults.conftest import Benches
from tests.e2e.faults.disks import DAMAGES, copy_of, damaged, full, on_a_small_disk, unsynced
from tests.e2e.faults.results import Name, keep
from tests.e2e.way import await_pulse

pytestmark = pytest.mark.e2e

WRITES = (
    "source.open",
    "source.meet_peer",
    "source.PEER_READY.JOURNAL",
    "source.PEER_RUNS_IT.JOURNAL",
    "destination.open",
    "destination.CHECKED.JOURNAL",
    "destination.COMMITTED.JOURNAL",
    "destination.EXECUTING.JOURNAL",
    "destination.GUEST_RUNS.JOURNAL",
)
HELD_BACK = WRITES[2], WRITES[6], WRITES[7], WRITES[8]


FULL, UNSYNCED = "disk full under the journal", "fsync fails under the journal"
SIDES = ("source", "destination")


def name_of(fault: str, point: str) -> Name:
    """The case of a write that fails."""
    side, _, rest = point.partition(".")
    return Name(fault, f"before {rest}", side)


NAMES = [
    *(name_of(FULL, point) for point in WRITES),
    *(name_of(UNSYNCED, point) for point in HELD_BACK),
    *(Name(damage, "handoff", side) for damage in DAMAGES for side in SIDES),
]


@pytest.fixture(name="small", scope="module")
def make_small(benches: Benches) -> Iterator[None]:
    """Both journals on small disks of their own."""
    needs.root("mount a small disk")
    with ExitStack() as stack:
        for node in benches.get().world.nodes.values():
            stack.enter_context(on_a_small_disk(node))
        yield
        benches.drop()


def _fails_at(
    case: Case, point: str, trouble: Callable[[Node], AbstractContextManager[None]]
) -> None:
    """A journal cannot be written at a point; later it can again, and nobody restarts a daemon."""
    victim = case.side(point.partition(".")[0])
    before = victim.log.count("JOURNAL_UNWRITABLE")
    order(victim, point, number="SIGSTOP")
    case.begin()
    await_stop(victim)
    with trouble(victim):
        case.strike()
        assert victim.process
        kill(victim.process.pid, signal.SIGCONT)
        eventually(lambda: victim.log.count("JOURNAL_UNWRITABLE") > before, what="a word on it")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("point", WRITES)
def test_a_full_disk_under_the_journal_costs_no_guest(case: Case, point: str) -> None:
    _fails_at(case, point, full)
    keep(name_of(FULL, point), case.settle())


@pytest.mark.parametrize("point", HELD_BACK)
def test_a_disk_that_does_not_sync_costs_no_guest(case: Case, point: str) -> None:
    _fails_at(case, point, unsynced)
    keep(name_of(UNSYNCED, point), case.settle())


def test_a_journal_that_cannot_be_written_is_what_the_migration_waits_for(case: Case) -> None:
    world = case.bench.world
    order(case.source, "source.PEER_READY.JOURNAL", number="SIGSTOP")
    case.begin()
    await_stop(case.source)
    with unsynced(case.source):
        case.strike()
        assert case.source.process
        kill(case.source.process.pid, signal.SIGCONT)
        eventually(lambda: "in doubt since" in world.ctl("list").stdout, what="doubt")
        assert f"waiting for the journal of {case.source.name}" in world.ctl("list").stdout
        assert "do next:  free space on its disk" in world.ctl("show", case.id).stdout
        # Nothing was committed, and the other node has refused for good: the guest need not wait.
        await_pulse(world, GUEST, case.source.name, case.beats)
    case.settle("stayed")


def test_a_guest_whose_letting_go_was_not_written_goes_on_once_though_the_daemon_dies(
    case: Case,
) -> None:
    order(case.source, "source.PEER_READY.JOURNAL", number="SIGSTOP")
    case.begin()
    await_stop(case.source)
    with unsynced(case.source):
        case.strike()
        assert case.source.process
        kill(case.source.process.pid, signal.SIGCONT)
        await_pulse(case.bench.world, GUEST, case.source.name, case.beats)
        case.source.stop(signal.SIGKILL)
    case.source.start()  # its journal says LET_GO, which is durable, and the guest runs here
    case.settle("stayed")


def test_a_daemon_that_waits_for_its_journal_can_be_stopped(case: Case) -> None:
    order(case.destination, "destination.EXECUTING.JOURNAL", number="SIGSTOP")
    case.begin()
    await_stop(case.destination)
    with unsynced(case.destination):
        case.strike()
        assert case.destination.process
        kill(case.destination.process.pid, signal.SIGCONT)
        eventually(lambda: case.destination.log.count('"stuck"'), what="a word on it")
        assert case.destination.stop() == 0
    case.destination.start()
    case.settle()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_journal_that_is_not_what_it_was_is_not_used_until_it_is_again(
    case: Case, damage: str, side: str
) -> None:
    victim = case.side(side)
    old = copy_of(victim)
    point = {"source": "PEER_READY.end", "destination": "GUEST_RUNS.JOURNAL"}[side]
    order(victim, f"{side}.{point}")
    case.begin()
    await_death(victim)
    case.strike()
    with damaged(victim, damage, old) as reason:
        victim.launch()
        assert victim.process
        assert eventually(lambda: victim.process and victim.process.poll(), what="refusal") == 1
        victim.process = None
        assert reason in victim.log[-2000:]
    victim.start()
    keep(Name(damage, "handoff", side), case.settle())
