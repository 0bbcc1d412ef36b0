"""How near the first round of incompressible memory comes to what the library and the machine can
do: the same amount through a bare grpc.aio stream and through a bare TLS socket, in turns.

`python -m bench.ceiling [--runs N] [--quick]` prints medians, ranges and ratios, and writes
bench/results/ceiling.json and .svg.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from bench import bare, tls
from bench.figures import RESULTS, spread, told, write
from bench.guest import MIB
from bench.micro import HOSTS, Shuttle, program
from bench.plot import Panel, svg
from bench.running import Asked, asked, say
from tests.cluster import cluster

NAME = "ceiling"
FILL_MIB, QUICK_FILL_MIB, SET_MIB = 700, 200, 16
MEMORY, QUICK_MEMORY = "1G", "256M"
TARGET = 0.9
GRPC, SOCKET = "bare grpc.aio stream", "bare TLS 1.3 socket"
AUTO, RAW = "first round, codec auto", "first round, codec raw"
WAYS = (GRPC, SOCKET, AUTO, RAW)
Row = dict[str, float]  # MiB/s by way


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    rows = measure(wanted)
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(wanted: Asked) -> list[Row]:
    """All four ways in turns."""
    fill_mib = QUICK_FILL_MIB if wanted.is_quick else FILL_MIB
    memory = QUICK_MEMORY if wanted.is_quick else MEMORY
    chunk, rows = os.urandom(MIB), list[Row]()
    with (
        cluster([*HOSTS]) as world,
        bare.serving(world.certs) as end,
        tls.receiving(world.certs) as tls_port,
    ):
        guest = Shuttle(world, "vm1", memory, program(1, SET_MIB, fill_mib, text_percent=0))
        for number in range(wanted.runs):
            sent = asyncio.run(bare.send(world.certs, end, repeat(chunk, fill_mib), fill_mib))
            row = {GRPC: fill_mib / sent.duration_s}
            row[AUTO] = guest.move().rounds[0].mib_per_s
            row[SOCKET] = fill_mib / tls.send(world.certs, tls_port, chunk, fill_mib)
            row[RAW] = guest.move("--codec", "raw").rounds[0].mib_per_s
            rows.append(row)
            figures = ", ".join(f"{way} {row[way]:.0f}" for way in WAYS)
            say(f"run {number + 1} of {wanted.runs}, MiB/s: {figures}")
        guest.require_right()
    return rows


def ratios(rows: Sequence[Mapping[str, float]], ours: str, ceiling: str) -> list[float]:
    """Run by run."""
    return [row[ours] / row[ceiling] for row in rows]


def report(rows: Sequence[Row]) -> None:
    """Medians, ranges and ratios."""
    for way in WAYS:
        say(f"  {way:26} {spread([row[way] for row in rows])} MiB/s")
    for ours in (AUTO, RAW):
        for ceiling in (GRPC, SOCKET):
            say(f"  {ours} / {ceiling}: {spread(ratios(rows, ours, ceiling))}")
    say(f"  target: at least {TARGET} of the bare grpc.aio stream")


def keep(rows: Sequence[Row], wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "filled_mib": FILL_MIB, "rows": rows}
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Sequence[Mapping[str, float]], note: str) -> str:
    """The figures as a plot."""
    speeds = {way: spread([row[way] for row in rows]) for way in WAYS}
    to = {
        ceiling: {ours: spread(ratios(rows, ours, ceiling)) for ours in (AUTO, RAW)}
        for ceiling in (GRPC, SOCKET)
    }
    panels = [Panel("MiB/s", {"700 MiB": speeds}), Panel("part of the ceiling", to, TARGET)]
    title = "700 MiB of random guest memory: medians, and ranges as lines"
    return svg(title, WAYS, panels, note)


if __name__ == "__main__":
    main()
