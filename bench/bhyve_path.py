"""Moving a micro-VM over the bhyve path, beside suspend, copy over TLS and restore, in turns.

`python -m bench.bhyve_path [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/bhyve_path.json and .svg. Everything of both is on the same tmpfs; both guests run all
the time, so each takes the same from the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.by_file import ByFile, file_guest
from bench.figures import RESULTS, Spread, spread, told, write
from bench.guest import Size
from bench.judging import tally
from bench.micro import HOSTS, Shuttle, Trip, program
from bench.plot import Panel, svg
from bench.running import Asked, asked, say
from tests.cluster import cluster

NAME = "bhyve_path"
RATE_MIB_PER_S, SET_MIB = 20, 16
TARGET = 0.35  # of the downtime by file
OURS, BY_FILE = "bmig", "suspend, copy over TLS, restore"


SIZES = (Size(1024, 717), Size(4096, 1024))
QUICK_SIZES = (Size(256, 179),)
Rows = dict[Size, tuple[list[Trip], list[ByFile]]]


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    rows = {size: measure(size, wanted) for size in (QUICK_SIZES if wanted.is_quick else SIZES)}
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(size: Size, wanted: Asked) -> tuple[list[Trip], list[ByFile]]:
    """Both ways in turns."""
    rom, memory = program(RATE_MIB_PER_S, SET_MIB, size.filled_mib), f"{size.memory_mib}M"
    trips: list[Trip] = []
    by_file: list[ByFile] = []
    with cluster([*HOSTS]) as world:
        ours = Shuttle(world, "vm1", memory, rom)
        with file_guest(world.directory / "by-file", world.certs, memory, rom) as theirs:
            for number in range(wanted.runs):
                trips.append(ours.move())
                by_file.append(theirs.move())
                say(
                    f"{size}, run {number + 1} of {wanted.runs}: {OURS} down"
                    f" {trips[-1].downtime_ms:.0f} ms, total {trips[-1].total_ms:.0f} ms;"
                    f" {BY_FILE}: {by_file[-1].downtime_ms:.0f} ms"
                )
            theirs.require_right()
        ours.require_right()
    return trips, by_file


def ratios(trips: Sequence[Trip], by_file: Sequence[ByFile]) -> Spread:
    """Our downtime to the other, run by run."""
    pairs = zip(trips, by_file, strict=True)
    return spread([ours.downtime_ms / other.downtime_ms for ours, other in pairs])


def report(rows: Rows) -> None:
    """Medians, ranges and the ratio."""
    for size, (trips, by_file) in rows.items():
        say(f"\n{size}, {RATE_MIB_PER_S} MiB/s dirty, medians (and ranges)")
        say(f"  {OURS}: down {spread([one.downtime_ms for one in trips])} ms")
        say(f"  {OURS}: total {spread([one.total_ms for one in trips])} ms")
        for part in ("downtime_ms", "suspend_ms", "copy_ms", "restore_ms"):
            say(f"  {BY_FILE}: {part} {spread([getattr(one, part) for one in by_file])}")
        say(f"  downtime ratio {ratios(trips, by_file)}, target {TARGET} for 1 GiB")
        pairs = [(one.estimated_downtime_ms, one.downtime_ms) for one in trips]
        say(f"  estimates of downtime: {tally(pairs)}")


def keep(rows: Rows, wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "rate_mib_per_s": RATE_MIB_PER_S}
    content["rows"] = {
        size.memory_mib: {
            "filled_mib": size.filled_mib,
            OURS: [asdict(one) for one in trips],
            BY_FILE: [asdict(one) for one in by_file],
        }
        for size, (trips, by_file) in rows.items()
    }
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""

    def bars(figure: str) -> Mapping[str, Mapping[str, Spread]]:
        return {
            str(size): {
                OURS: spread([getattr(one, figure) for one in trips]),
                BY_FILE: spread([one.downtime_ms for one in by_file]),
            }
            for size, (trips, by_file) in rows.items()
        }

    panels = [
        Panel("downtime, ms", bars("downtime_ms")),
        Panel("total, ms (suspended, it is down all of it)", bars("total_ms")),
    ]
    title = f"A micro-VM that dirties {RATE_MIB_PER_S} MiB/s moves: medians, and ranges as lines"
    return svg(title, (OURS, BY_FILE), panels, note)


if __name__ == "__main__":
    main()
