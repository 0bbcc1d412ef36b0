"""The ways to come to every named point, and to die there."""

from collections.abc import Callable

from bmigd.crashpoints import MARK, OTHERS
from bmigd.migration.steps import crash_points
from tests.e2e.faults.bench import GUEST, await_death, await_stop, crash_host, order
from tests.e2e.faults.case import Case, restarted
from tests.e2e.faults.results import Name, Result

Act = Callable[[], object]
Meet = Callable[[Act], None]  # does it, and waits until the daemon has come to the point
Way = Callable[[Case, Meet], None]


def plain(case: Case, meet: Meet) -> None:
    """In a migration that would have gone well."""
    meet(case.begin)


def cancelled(case: Case, meet: Meet) -> None:
    """While it is copied, because an operator cancels it."""
    case.await_copying("1M")  # a busy machine takes seconds to cancel it
    meet(lambda: case.ask("cancel", case.id))


def deserted(case: Case, meet: Meet) -> None:
    """While the guest is down, because the destination's daemon dies."""
    order(case.destination, "destination.written")
    meet(case.begin)
    await_death(case.destination)


def given_back(case: Case, meet: Meet) -> None:
    """Because the guest cannot be restored over there."""
    case.bench.world.fault(case.destination.name, GUEST, "restore-fails")
    meet(case.begin)


def twice(case: Case, meet: Meet) -> None:
    """As it starts again, after it died while the guest was down."""
    order(case.source, "source.copied")
    case.begin()
    await_death(case.source)
    meet(case.source.launch)


def resolved(case: Case, meet: Meet) -> None:
    """As an operator resolves, because the destination's host is gone."""
    order(case.destination, "destination.COMMITTED.JOURNAL")
    case.begin()
    await_death(case.destination)
    crash_host(case.destination)
    case.await_phase("handoff")
    asked = ("resolve", case.id, "--run-here", "--confirm", GUEST, "--node", case.source.name)
    meet(lambda: case.ask(*asked))


WAYS: dict[str, tuple[Way, ...]] = {
    "source.PEER_READY": (plain,),
    "source.FAILED": (cancelled, deserted),
    "source.RESTARTED": (twice,),
    "source.PEER_RUNS_IT": (plain,),
    "source.PEER_GAVE_IT_BACK": (given_back,),
    "source.RESOLVED": (resolved,),
    "destination.CHECKED": (plain,),
    "destination.COMMITTED": (plain,),
    "destination.EXECUTING": (plain,),
    "destination.GUEST_RUNS": (plain,),
    "destination.NEVER_RAN": (given_back,),
    "destination.WITHDRAWN": (cancelled,),
}
ENDS_AFRESH = {
    point
    for point in crash_points()
    if point.startswith("source.RESOLVED.") and not point.endswith(".JOURNAL")
}
MARKS = [("source", write) for write in range(1, 7)]
MARKS += [("destination", write) for write in range(1, 8)]
POINTS = [
    *((point, way) for point in crash_points() for way in WAYS[point.rpartition(".")[0]]),
    *((point, plain) for point in OTHERS),
]


def dies_at(case: Case, point: str) -> Meet:
    """Its daemon dies there."""
    victim = case.side(point.partition(".")[0])

    def meet(act: Act) -> None:
        order(victim, point)
        act()
        await_death(victim)
        case.strike()

    return meet


def stands_at(case: Case, point: str) -> Meet:
    """Its daemon stops there, and is still alive."""
    victim = case.side(point.partition(".")[0])

    def meet(act: Act) -> None:
        order(victim, point, number="SIGSTOP")
        act()
        await_stop(victim)
        case.strike()

    return meet


def play_mark(case: Case, side: str, write: int) -> Result:
    """A daemon dies between a write of its journal and the mark of it."""
    victim = case.side(side)
    order(victim, MARK, times=write)
    case.begin()
    await_death(victim)
    case.strike()
    restarted(victim)
    return case.settle()


def named_mark(side: str, write: int) -> Name:
    """The case of dying at that write."""
    return Name("daemon dies", f"between journal and mark (write {write})", side)


def named(point: str, way: Way) -> Name:
    """The case of dying there that way."""
    side, _, rest = point.partition(".")
    return Name("daemon dies", f"{rest} ({way.__name__.replace('_', ' ')})", side)


def play(case: Case, point: str, way: Way) -> Result:
    """A daemon dies at a point, is started again, and all is well."""
    way(case, dies_at(case, point))
    restarted(case.source, case.destination)
    return case.settle(afresh=point in ENDS_AFRESH)
