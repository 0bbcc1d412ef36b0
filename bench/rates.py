"""How a migration ends as its guest writes faster: from nothing to three times what the link takes.

`python -m bench.rates [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/rates.json and .svg. The link is `--bandwidth`; where rounds help no more, the guest
goes down all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.figures import RESULTS, spread, told, write
from bench.judging import tally
from bench.micro import HOSTS, Shuttle, Trip, program
from bench.plot import panels_of, svg
from bench.running import Asked, asked, say
from tests.cluster import cluster

NAME = "rates"
LINK_MIB_PER_S = 50
RATES, QUICK_RATES = (0, 10, 25, 50, 100, 150), (25,)  # MiB/s; the micro-VM has no more
MEMORY, SET_MIB = "128M", 64
OPTIONS = ("--bandwidth", f"{LINK_MIB_PER_S}M", "--codec", "raw", "--timeout", "60")
ONE = "bmig"
FIGURES: Mapping[str, Callable[[Trip], float]] = {
    "rounds": lambda trip: float(len(trip.rounds)),
    "total, ms": lambda trip: trip.total_ms,
    "downtime, ms": lambda trip: trip.downtime_ms,
    "estimated downtime, ms": lambda trip: trip.estimated_downtime_ms,
}
Rows = dict[int, list[Trip]]


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    rows = measure(QUICK_RATES if wanted.is_quick else RATES, wanted)
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(rates: Sequence[int], wanted: Asked) -> Rows:
    """One guest after the other, so that no other runs."""
    rows: Rows = {}
    for rate in rates:
        with cluster([*HOSTS]) as world:
            guest = Shuttle(world, "vm1", MEMORY, program(rate, SET_MIB))
            rows[rate] = [_told(rate, guest.move(*OPTIONS)) for _ in range(wanted.runs)]
            guest.require_right()
    return rows


def _told(rate: int, trip: Trip) -> Trip:
    say(
        f"{rate} MiB/s: {len(trip.rounds)} rounds, total {trip.total_ms:.0f} ms, down"
        f" {trip.downtime_ms:.0f} ms, estimated {trip.estimated_downtime_ms:.0f} ms"
    )
    return trip


def report(rows: Rows) -> None:
    """Medians and ranges."""
    for rate, trips in rows.items():
        say(f"\n{rate} MiB/s dirty, link of {LINK_MIB_PER_S} MiB/s, medians (and ranges)")
        for figure, value in FIGURES.items():
            say(f"  {figure:24} {spread([value(one) for one in trips])}")
        pairs = [(one.estimated_downtime_ms, one.downtime_ms) for one in trips]
        say(f"  estimates of downtime: {tally(pairs)}")


def keep(rows: Rows, wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {
        **wanted.whence,
        "link_mib_per_s": LINK_MIB_PER_S,
        "set_mib": SET_MIB,
    }
    content["rows"] = {rate: [asdict(one) for one in trips] for rate, trips in rows.items()}
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""
    panels = panels_of(FIGURES, {f"{rate} MiB/s": {ONE: some} for rate, some in rows.items()})
    title = f"A guest writes 64 MiB ever faster, the link takes {LINK_MIB_PER_S} MiB/s"
    return svg(title, (ONE,), panels, note)


if __name__ == "__main__":
    main()
