"""The disk under a journal is full or does not sync, or the journal is not what it was: no guest is
lost or runs twice, and what must be mended is said.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from bmigd.migration.steps import Step
from tests import needs
from tests.daemons import Node, eventually
from tests.e2e.faults.bench import GUEST, await_death, await_stop, kill, order
from tests.e2e.faults.case import Case
from tests.e2e.faults.conftest import Benches
from tests.e2e.faults.disks import DAMAGES, copy_of, damaged, full, on_a_small_disk, unsynced
from tests.e2e.faults.points import (
    ENDS_AFRESH,
    POINTS,
    Way,
    deserted,
    plain,
    resolved,
    stands_at,
    twice,
)
from tests.e2e.faults.results import Name, keep
from tests.e2e.way import RUNNING, await_pulse, refused

pytestmark = pytest.mark.e2e

HELD_BACK = (
    "source.PEER_READY.JOURNAL",
    "destination.COMMITTED.JOURNAL",
    "destination.EXECUTING.JOURNAL",
    "destination.GUEST_RUNS.JOURNAL",
)
OPENING = "source.open", "source.meet_peer", "destination.open"
WRITING = (Step.JOURNAL, Step.KEEP, Step.DROP, Step.CLOSE)
WRITES = [
    *((point, plain) for point in OPENING),
    *(
        (point, way)
        for point, way in POINTS
        if point.rpartition(".")[2] in [step.name for step in WRITING] and way is not deserted
    ),
]
RESTARTS = (
    "source.copied",
    "source.PEER_READY.end",
    "source.PEER_RUNS_IT.JOURNAL",
    "source.PEER_RUNS_IT.DROP",
    "destination.CHECKED.JOURNAL",
    "destination.EXECUTING.JOURNAL",
    "destination.GUEST_RUNS.JOURNAL",
    "destination.GUEST_RUNS.START",
)

FULL, UNSYNCED = "disk full under the journal", "fsync fails under the journal"
AGAIN = "daemon restarted on a full disk"
SIDES = ("source", "destination")


def name_of(fault: str, point: str, way: Way = plain) -> Name:
    """The case of a write that fails."""
    side, _, rest = point.partition(".")
    by = "" if way is plain else f" ({way.__name__.replace('_', ' ')})"
    return Name(fault, f"before {rest}{by}", side)


NAMES = [
    *(name_of(FULL, point, way) for point, way in WRITES),
    *(name_of(UNSYNCED, point) for point in HELD_BACK),
    *(name_of(AGAIN, point) for point in RESTARTS),
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


def _fails(victim: Node, trouble: Callable[[Node], AbstractContextManager[None]]) -> None:
    """A daemon that stands still goes on while its disk takes nothing, until it says so."""
    before = victim.log.count("_UNWRITABLE")
    with trouble(victim):
        assert victim.process
        kill(victim.process.pid, signal.SIGCONT)
        eventually(lambda: victim.log.count("_UNWRITABLE") > before, what="a word on it")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("point", "way"), WRITES, ids=[f"{p}-{w.__name__}" for p, w in WRITES])
def test_a_full_disk_under_the_journal_costs_no_guest(case: Case, point: str, way: Way) -> None:
    way(case, stands_at(case, point))
    _fails(case.side(point.partition(".")[0]), full)
    if way is twice:  # its daemon serves, though it could not write
        case.source.await_start()
    if way is resolved:
        case.destination.start()  # what an operator's word has not settled is settled by its answer
    keep(name_of(FULL, point, way), case.settle(afresh=point in ENDS_AFRESH))


@pytest.mark.parametrize("point", HELD_BACK)
def test_a_disk_that_does_not_sync_costs_no_guest(case: Case, point: str) -> None:
    plain(case, stands_at(case, point))
    _fails(case.side(point.partition(".")[0]), unsynced)
    keep(name_of(UNSYNCED, point), case.settle())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("point", RESTARTS)
def test_a_daemon_that_starts_on_a_full_disk_goes_on_when_there_is_room(
    case: Case, point: str
) -> None:
    victim = case.side(point.partition(".")[0])
    plain(case, stands_at(case, point))
    before = victim.log.count('"stuck"')
    with full(victim):
        victim.stop(signal.SIGKILL)
        victim.start()
        eventually(lambda: victim.log.count('"stuck"') > before, what="a word on it")
    keep(name_of(AGAIN, point), case.settle())


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
        _require_told_as_here(case)
    case.settle("stayed")


def _require_told_as_here(case: Case) -> None:
    """Whoever asks is told that the guest runs at its source, and what is waited for."""
    world, name = case.bench.world, case.source.name
    assert world.where(GUEST) == {name: RUNNING}
    too_late = refused(world, "cancel", case.id)
    assert too_late["reason"] == "TOO_LATE"
    assert (too_late["location"], "free space" in too_late["advice"]) == (f"on {name}", True)
    busy = refused(world, "guest", "stop", GUEST)
    assert busy["reason"] == "GUEST_BUSY"
    assert ("goes on here" in busy["message"], "cancel" in busy["advice"]) == (True, False)


def test_a_guest_whose_letting_go_was_not_written_goes_on_once_though_the_daemon_dies(
    case: Case,
) -> None:
    before = case.source.log.count('"stuck"')
    order(case.source, "source.PEER_READY.JOURNAL", number="SIGSTOP")
    case.begin()
    await_stop(case.source)
    with unsynced(case.source):
        case.strike()
        assert case.source.process
        kill(case.source.process.pid, signal.SIGCONT)
        eventually(lambda: case.source.log.count('"stuck"') > before, 20, "a word on it")
        where = (case.bench.world, GUEST, case.source.name)
        await_pulse(*where, await_pulse(*where, case.beats))  # since then: it goes on
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
