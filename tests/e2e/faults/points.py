"""The ways to die at every named point."""

from collections.abc import Callable

from bmigd.crashpoints import MARK, OTHERS
from bmigd.migration.steps import crash_points
from tests.e2e.faults.bench import GUEST, await_death, crash_host, order
from tests.e2e.faults.case import Case, restarted
from tests.e2e.faults.results import Name, Result

Way = Callable[[Case, str], None]


def plain(case: Case, point: str) -> None:
    """In a migration that would have gone well."""
    _dies(case, point, case.begin)


def cancelled(case: Case, point: str) -> None:
    """While it is copied, because an operator cancels it."""
    case.await_copying()
    _dies(case, point, lambda: case.ask("cancel", case.id))


def deserted(case: Case, point: str) -> None:
    """While the guest is down, because the destination's daemon dies."""
    order(case.destination, "destination.written")
    _dies(case, point, case.begin)
    await_death(case.destination)


def given_back(case: Case, point: str) -> None:
    """Because the guest cannot be restored over there."""
    case.bench.world.fault(case.destination.name, GUEST, "restore-fails")
    _dies(case, point, case.begin)


def twice(case: Case, point: str) -> None:
    """As it starts again, after it died while the guest was down."""
    order(case.source, "source.copied")
    case.begin()
    await_death(case.source)
    order(case.source, point)
    case.source.launch()
    case.strike()
    await_death(case.source)


def resolved(case: Case, point: str) -> None:
    """As an operator resolves, because the destination's host is gone."""
    order(case.destination, "destination.COMMITTED.JOURNAL")
    case.begin()
    await_death(case.destination)
    crash_host(case.destination)
    case.await_phase("handoff")
    asked = ("resolve", case.id, "--run-here", "--confirm", GUEST, "--node", case.source.name)
    _dies(case, point, lambda: case.ask(*asked))


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


def _dies(case: Case, point: str, act: Callable[[], object]) -> None:
    victim = case.side(point.partition(".")[0])
    order(victim, point)
    act()
    await_death(victim)
    case.strike()


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
    way(case, point)
    restarted(case.source, case.destination)
    return case.settle(afresh=point in ENDS_AFRESH)
