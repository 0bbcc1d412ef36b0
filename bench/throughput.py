"""End-to-end throughput: guest memory of a 1 GiB guest, 700 MiB of it not zero, beside the same
bytes through a bare grpc.aio stream over mutual TLS, in turn in one run.

`python -m bench.throughput [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/throughput.json and .svg.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bench.bare import send, serving
from bench.figures import RESULTS, spread, told, write
from bench.guest import MIB
from bench.micro import HOSTS, Shuttle, Trip, program
from bench.plot import Panel, svg
from bench.running import Asked, asked, say
from tests.cluster import Cluster, cluster

NAME = "throughput"
FILL_MIB, QUICK_FILL_MIB, SET_MIB = 700, 200, 16
TARGET = 0.7
BARE, OURS = "bare grpc.aio stream", "first round"
Row = dict[str, float]


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words, quick_runs=1)
    with cluster([*HOSTS]) as world, serving(world.certs) as port:
        rows = measure(world, port, wanted)
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(world: Cluster, port: int, wanted: Asked) -> list[Row]:
    """One row a run: the bare stream, then a migration."""
    fill_mib = QUICK_FILL_MIB if wanted.is_quick else FILL_MIB
    guest = Shuttle(world, "vm1", "1G", program(1, SET_MIB, fill_mib))
    chunk, rows = os.urandom(MIB), list[Row]()
    for number in range(wanted.runs):
        bare_s = asyncio.run(send(world.certs, port, chunk, fill_mib))
        rows.append(_row(guest.move("--codec", "raw"), fill_mib / bare_s))
        say(
            f"run {number + 1} of {wanted.runs}: bare"
            f" {rows[-1]['bare_mib_per_s']:.0f} MiB/s, first round"
            f" {rows[-1]['round1_mib_per_s']:.0f} MiB/s"
        )
    guest.require_right()
    return rows


def _row(trip: Trip, bare_mib_per_s: float) -> Row:
    first = trip.rounds[0]
    return {
        "bare_mib_per_s": bare_mib_per_s,
        "round1_s": first.duration_ms / 1e3,
        "round1_mib_per_s": first.mib_per_s,
        "ratio": first.mib_per_s / bare_mib_per_s,
        "total_s": trip.total_ms / 1e3,
        "downtime_ms": trip.downtime_ms,
        "source_growth_mib": trip.source_growth_mib,
        "destination_growth_mib": trip.destination_growth_mib,
    }


def report(rows: Sequence[Row]) -> None:
    """Medians and ranges."""
    for key in rows[0]:
        say(f"  {key:24} {spread([row[key] for row in rows])}")
    say(f"  target: ratio at least {TARGET}")


def keep(rows: Sequence[Row], wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "rows": rows}
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Sequence[Mapping[str, float]], note: str) -> str:
    """The figures as a plot."""

    def of(key: str) -> Any:
        return spread([row[key] for row in rows])

    speeds = {BARE: of("bare_mib_per_s"), OURS: of("round1_mib_per_s")}
    panels = [
        Panel("MiB/s", {"700 MiB": speeds}),
        Panel("first round / bare stream", {"run by run": {OURS: of("ratio")}}, TARGET),
    ]
    title = "700 MiB of guest memory, 30 % text, codec raw: medians, and ranges as lines"
    return svg(title, (BARE, OURS), panels, note)


if __name__ == "__main__":
    main()
