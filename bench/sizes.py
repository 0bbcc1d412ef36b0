"""What memory costs that is hardly used: micro-VMs of 0.25 to 8 GiB with the same 128 MiB not zero.

`python -m bench.sizes [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/sizes.json and .svg: total, downtime, growth of both daemons' anonymous memory, and
how late their event loops ran. A guest that writes nothing, and whose memory is all in use, tells
what a round costs that finds nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import RESULTS, spread, told, write
from bench.judging import tally
from bench.lag import ticking_bmigd, told_lag
from bench.micro import HOSTS, IDLE, Shuttle, Trip, program
from bench.plot import Panel, panels_of, svg
from bench.running import Asked, asked, say
from tests.cluster import cluster

NAME = "sizes"
SIZES_MIB, QUICK_SIZES_MIB = (256, 512, 1024, 2048, 4096, 8192), (256,)
FILL_MIB, RATE_MIB_PER_S, SET_MIB = 128, 20, 16
FULL_MIB, FULL_FILL_MIB = 1024, 940  # the guest whose memory is all in use
QUIET = 2  # migrations of each size of a guest that writes nothing
BUSY = f"{FILL_MIB} MiB not zero"
QUIET_ROUND = "quiet round, ms"
FIGURES: Mapping[str, Callable[[Trip], float]] = {
    "total, ms": lambda trip: trip.total_ms,
    "downtime, ms": lambda trip: trip.downtime_ms,
    "growth of the source daemon, MiB": lambda trip: trip.source_growth_mib,
    "growth of the destination daemon, MiB": lambda trip: trip.destination_growth_mib,
}


@dataclass(frozen=True)
class Seen:
    """Of one size."""

    trips: list[Trip]
    quiet_ms: list[float]  # rounds that find nothing, of a guest that writes nothing


Rows = dict[int, Seen]


def allowed_growth_mib(memory_mib: float) -> float:
    """The target for each daemon."""
    return 64 + 0.004 * memory_mib


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    sizes_mib = QUICK_SIZES_MIB if wanted.is_quick else SIZES_MIB
    rows = {size_mib: measure(size_mib, wanted) for size_mib in sizes_mib}
    quiet = [] if wanted.is_quick else measure_quiet(wanted)
    report(rows, quiet)
    if not wanted.is_quick:
        keep(rows, quiet, wanted)


def measure(memory_mib: int, wanted: Asked) -> Seen:
    """Back and forth."""
    seen = Seen([], [])
    with cluster([*HOSTS, IDLE], command=ticking_bmigd) as world:
        rom = program(RATE_MIB_PER_S, SET_MIB, FILL_MIB)
        guest = Shuttle(world, "vm1", f"{memory_mib}M", rom)
        for number in range(wanted.runs):
            seen.trips.append(guest.move())
            trip = seen.trips[-1]
            say(
                f"{memory_mib} MiB, run {number + 1} of {wanted.runs}: total"
                f" {trip.total_ms:.0f} ms, down {trip.downtime_ms:.0f} ms, growth"
                f" {trip.source_growth_mib:.0f} and"
                f" {trip.destination_growth_mib:.0f} MiB; {told_lag(trip.lag)}"
            )
        # last: what a daemon's first migration makes it keep counts as growth
        quiet = Shuttle(world, "quiet", f"{memory_mib}M", program(0, SET_MIB, FILL_MIB))
        seen.quiet_ms.extend(quiet.move().quiet_ms for _ in range(1 if wanted.is_quick else QUIET))
        guest.require_right()
    return seen


def measure_quiet(wanted: Asked) -> list[Trip]:
    """Of a guest that has written all of its memory and writes no more."""
    with cluster([*HOSTS]) as world:
        guest = Shuttle(world, "vm1", f"{FULL_MIB}M", program(0, SET_MIB, FULL_FILL_MIB))
        trips = [guest.move() for _ in range(wanted.runs)]
        told_ms = ", ".join(f"{one.quiet_ms:.0f}" for one in trips)
        say(f"{FULL_MIB} MiB, {FULL_FILL_MIB} MiB not zero, quiet: rounds of {told_ms} ms")
        guest.require_right()
    return trips


def report(rows: Rows, quiet: Sequence[Trip]) -> None:
    """Medians and ranges."""
    for memory_mib, seen in rows.items():
        say(f"\n{memory_mib} MiB, {BUSY}, medians (and ranges)")
        for figure, value in FIGURES.items():
            say(f"  {figure:38} {spread([value(one) for one in seen.trips])}")
        say(f"  {QUIET_ROUND:38} {spread(seen.quiet_ms)}")
        say(f"  target: each daemon grows by at most {allowed_growth_mib(memory_mib):.0f} MiB")
        pairs = [(one.estimated_downtime_ms, one.downtime_ms) for one in seen.trips]
        say(f"  estimates of downtime: {tally(pairs)}")
    if quiet:
        say(f"\na quiet round: {spread([one.quiet_ms for one in quiet])} ms, target 120 ms")


def keep(rows: Rows, quiet: Sequence[Trip], wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "filled_mib": FILL_MIB}
    content["rate_mib_per_s"] = RATE_MIB_PER_S
    content["rows"] = {memory_mib: asdict(seen) for memory_mib, seen in rows.items()}
    content["quiet"] = {"memory_mib": FULL_MIB, "filled_mib": FULL_FILL_MIB}
    content["quiet"]["trips"] = [{**asdict(one), "quiet_ms": one.quiet_ms} for one in quiet]
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""
    sizes = {f"{memory_mib / 1024:g} GiB": seen for memory_mib, seen in rows.items()}
    panels = panels_of(FIGURES, {size: {BUSY: seen.trips} for size, seen in sizes.items()})
    rounds = {size: {BUSY: spread(seen.quiet_ms)} for size, seen in sizes.items()}
    panels.append(Panel(QUIET_ROUND, rounds))
    title = "Memory that is hardly used: medians, and ranges as lines"
    return svg(title, (BUSY,), panels, note)


if __name__ == "__main__":
    main()
