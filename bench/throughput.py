"""End-to-end throughput: guest memory of a 1 GiB guest, 700 MiB of it not zero, beside as many
bytes through a bare grpc.aio stream over mutual TLS, and through one whose ends copy, hash, check
and write them, in turn in one run.

`python -m bench.throughput [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/throughput.json and .svg.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from bench import bare, laden
from bench.figures import RESULTS, spread, told, write
from bench.guest import MIB
from bench.micro import HOSTS, Shuttle, Trip, program
from bench.plot import Panel, svg
from bench.running import Asked, asked, say
from tests.cluster import Cluster, cluster

NAME = "throughput"
FILL_MIB, QUICK_FILL_MIB, SET_MIB = 700, 200, 16
TARGET = 0.7
BARE, LADEN, OURS = "bare grpc.aio stream", "bare stream doing the work", "first round"
SPEEDS = {BARE: "bare", LADEN: "laden", OURS: "round1"}  # and how keys of rows begin
Row = dict[str, float]


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words, quick_runs=1)
    with cluster([*HOSTS]) as world:
        rows = measure(world, wanted)
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(world: Cluster, wanted: Asked) -> list[Row]:
    """One row a run: the bare stream, the laden one, then a migration."""
    fill_mib = QUICK_FILL_MIB if wanted.is_quick else FILL_MIB
    guest = Shuttle(world, "vm1", "1G", program(1, SET_MIB, fill_mib))
    chunk, rows = os.urandom(MIB), list[Row]()
    with bare.serving(world.certs) as end, laden.pair(world.certs, world.directory) as both:
        both.fill(fill_mib)
        for number in range(wanted.runs):
            sent = asyncio.run(bare.send(world.certs, end, repeat(chunk, fill_mib), fill_mib))
            worked = both.send()
            rows.append(_row(guest.move("--codec", "raw"), sent, worked, fill_mib))
            say(f"run {number + 1} of {wanted.runs}, MiB/s: {_speeds(rows[-1])}")
    guest.require_right()
    return rows


def _speeds(row: Row) -> str:
    return ", ".join(f"{way} {row[f'{key}_mib_per_s']:.0f}" for way, key in SPEEDS.items())


def _row(trip: Trip, sent: bare.Sent, worked: bare.Sent, fill_mib: int) -> Row:
    first = trip.rounds[0]
    bare_mib_per_s, laden_mib_per_s = fill_mib / sent.duration_s, fill_mib / worked.duration_s
    return {
        "bare_mib_per_s": bare_mib_per_s,
        "bare_processor_s": sent.processor_s,
        "laden_mib_per_s": laden_mib_per_s,
        "laden_processor_s": worked.processor_s,
        "round1_s": first.duration_ms / 1e3,
        "round1_mib_per_s": first.mib_per_s,
        "ratio": first.mib_per_s / bare_mib_per_s,
        "ratio_laden": first.mib_per_s / laden_mib_per_s,
        "laden_to_bare": laden_mib_per_s / bare_mib_per_s,
        "total_s": trip.total_ms / 1e3,
        "downtime_ms": trip.downtime_ms,
        "source_growth_mib": trip.source_growth_mib,
        "destination_growth_mib": trip.destination_growth_mib,
    }


def report(rows: Sequence[Row]) -> None:
    """Medians and ranges."""
    for key in rows[0]:
        say(f"  {key:24} {spread([row[key] for row in rows])}")
    say(f"  target: ratio (first round to bare) at least {TARGET}")


def keep(rows: Sequence[Row], wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "rows": rows}
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Sequence[Mapping[str, float]], note: str) -> str:
    """The figures as a plot."""

    def of(key: str) -> Any:
        return spread([row[key] for row in rows])

    speeds = {way: of(f"{key}_mib_per_s") for way, key in SPEEDS.items()}
    to_bare = {LADEN: of("laden_to_bare"), OURS: of("ratio")}
    spent = {BARE: of("bare_processor_s"), LADEN: of("laden_processor_s")}
    panels = [
        Panel("MiB/s", {"700 MiB": speeds}),
        Panel(f"part of the {BARE}", {"run by run": to_bare}, TARGET),
        Panel(f"part of the {LADEN}", {"run by run": {OURS: of("ratio_laden")}}),
        Panel("processor seconds of both ends", {"700 MiB": spent}),
    ]
    title = "700 MiB of guest memory, 30 % text, codec raw: medians, and ranges as lines"
    return svg(title, tuple(SPEEDS), panels, note)


if __name__ == "__main__":
    main()
