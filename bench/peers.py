"""Our migration of a booted Linux guest beside QEMU's own, encrypted, in turns in one run.

`python -m bench.peers [--runs N] [--rates R ...] [--quick]` prints medians, ranges and ratios, and
writes bench/results/peers.json and peers.svg. See bench/README.md for what is counted. Needs QEMU;
as root it runs in a network namespace, so that nobody else's bytes are counted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.figures import RESULTS, origin, spread, told, write
from bench.guest import FULL, MIB, QUICK, Moved, Size, healths, settings
from bench.judging import Tally, tally
from bench.lag import ticking_bmigd, told_lag
from bench.micro import HOSTS, IDLE
from bench.native import Native, Setup, native
from bench.ours import CHANGES, Ours
from bench.plot import panels_of, svg
from bench.running import say
from tests import needs
from tests.cluster import cluster
from tests.linuxguest.moving import Build, LinuxGuest, changes, logs
from tests.linuxguest.transcript import transcript
from tests.netlab import Place, place

RATES, QUICK_RATES = (0, 20, 80), (20,)
RUNS, QUICK_RUNS = 5, 1
OF_NAMESPACE, SHARED = "loopback of a namespace", "loopback, shared"
DOWNTIME_LIMIT_MS = 300  # QEMU's default, for everybody
PAGEMAP, CONTENT = "bmig, pagemap", "bmig, content"
PAGEMAP_BACK, CONTENT_BACK = "bmig, pagemap, way back", "bmig, content, way back"
ENCODED = "bmig, pagemap, zstd"
TLS, MULTIFD = "QEMU, tls", "QEMU, multifd 2 + tls"
QEMU = (TLS, MULTIFD)
SHORT = ((TLS, "tls"), (MULTIFD, "multifd"))
CHANNELS = ((TLS, 0), (MULTIFD, 2))
TRACKERS = (("pagemap", PAGEMAP, PAGEMAP_BACK), ("content", CONTENT, CONTENT_BACK))
WAYS = (PAGEMAP, PAGEMAP_BACK, ENCODED, CONTENT, CONTENT_BACK, TLS, MULTIFD)
FIGURES: Mapping[str, Callable[[Moved], float]] = {
    "total, ms": lambda moved: moved.total_ms,
    "downtime, ms": lambda moved: moved.downtime_ms,
    "on the wire, MiB": lambda moved: moved.wire_bytes / MIB,
    "processor time, both sides, s": lambda moved: moved.source_cpu_s + moved.destination_cpu_s,
}
ByWay = dict[str, list[Moved]]
Rows = dict[int, ByWay]  # by rate


def main() -> int:
    """Run and report; the exit status."""
    asked = argparse.ArgumentParser(prog="python -m bench.peers")
    asked.add_argument("--runs", type=int, default=0, help=f"of each, in turns; {RUNS} if not said")
    asked.add_argument("--quick", action="store_true", help="less, and nothing is kept")
    asked.add_argument("--rates", type=int, nargs="+", help="MiB/s to dirty; all if not said")
    options = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    whence = {} if options.quick else origin()
    runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
    rows = Rows()
    try:
        with ExitStack() as open_ones:
            is_root = os.geteuid() == 0
            where = open_ones.enter_context(place("bench", "127.0.0.1")) if is_root else None
            for rate in options.rates or (QUICK_RATES if options.quick else RATES):
                rows[rate] = measure(rate, runs, where, is_quick=options.quick)
    except needs.MISSING as reason:
        sys.stdout.write(f"cannot run here: {reason}\n")
        return 1
    report(rows)
    if not options.quick:
        keep(rows, {**whence, "interface": OF_NAMESPACE if is_root else SHARED})
    return 0


def measure(rate: int, runs: int, where: Place | None, *, is_quick: bool) -> ByWay:
    """All ways in turns, of guests that dirty memory at one rate."""
    rows: ByWay = {way: [] for way in WAYS}

    def note(way: str, moved: Moved) -> None:
        rows[way].append(moved)
        total_s, down_ms = moved.total_ms / 1e3, moved.downtime_ms
        say(f"  {way}: {total_s:.2f} s, down {down_ms:.0f} ms, {moved.health}")
        if moved.lag:
            say(f"    {told_lag(moved.lag)}")

    with both_guests(rate, where, QUICK if is_quick else FULL) as (ours, peers):
        for number in range(runs):
            sys.stdout.write(f"{group(rate)}, run {number + 1} of {runs}\n")
            for tracker, there, back in TRACKERS[: 1 if is_quick else None]:
                ours.let_go_on()
                note(there, ours.move(tracker, DOWNTIME_LIMIT_MS))
                note(back, ours.move_back(tracker, DOWNTIME_LIMIT_MS))
                ours.hold()
            if not is_quick:
                ours.let_go_on()
                note(ENCODED, ours.move("pagemap", DOWNTIME_LIMIT_MS, "--codec", "zstd"))
                ours.move_back("pagemap", DOWNTIME_LIMIT_MS)
                ours.hold()
            for way, channels in CHANNELS[: 1 if is_quick else None]:
                peers.let_go_on()
                note(way, peers.move(channels, DOWNTIME_LIMIT_MS))
        ours.require_right()
    return {way: moved for way, moved in rows.items() if moved}


@contextmanager
def both_guests(rate: int, where: Place | None, size: Size) -> Iterator[tuple[Ours, Native]]:
    """Equal guests, ours and QEMU's, both held."""
    names = [*HOSTS, IDLE]
    places = dict.fromkeys((*names, "operator"), where) if where else None
    with ExitStack() as open_ones:
        world = open_ones.enter_context(
            cluster(names, places, ticking_bmigd, **changes(None), **CHANGES)
        )
        read = open_ones.enter_context(transcript(logs(world)))
        build = Build(settings(rate, size), memory=f"{size.memory_mib}M")
        guest = LinuxGuest(world, build, read)
        guest.define(HOSTS[0])
        directory = world.directory / "native"
        directory.mkdir()
        setup = Setup(directory, where, world.certs, build)
        peers = open_ones.enter_context(native(setup))  # both boot at the same time
        guest.says(b"HB ")
        ours = Ours(guest)
        ours.hold()
        peers.hold()
        yield ours, peers


def report(rows: Rows) -> None:
    """Tables for people."""
    for rate, by_way in rows.items():
        sys.stdout.write(f"\n{group(rate)}, medians (and ranges)\n")
        for figure, value in FIGURES.items():
            sys.stdout.write(f"  {figure}\n")
            for way, moved in by_way.items():
                ratio = _ratio(by_way, way, value)
                sys.stdout.write(
                    f"    {way:26} {spread([value(one) for one in moved])!s:30}{ratio}\n"
                )
        for way, moved in by_way.items():
            sys.stdout.write(f"  guest after {way}: {healths(moved)}\n")
        for way in [one for one in (PAGEMAP, CONTENT) if one in by_way]:
            sys.stdout.write(f"  downtime of {way}: {_parts(by_way[way])}\n")
        sys.stdout.write(f"  estimates of downtime: {estimates(by_way)}\n")


def estimates(by_way: ByWay) -> Tally:
    """How good ours were."""
    return tally(
        (one.estimated_downtime_ms, one.downtime_ms)
        for moved in by_way.values()
        for one in moved
        if one.estimated_downtime_ms is not None
    )


def keep(rows: Rows, whence: dict[str, Any]) -> None:
    """The files."""
    content = {**whence, "guest": asdict(FULL)}
    content["rows"] = {
        rate: {way: [asdict(one) for one in moved] for way, moved in by_way.items()}
        for rate, by_way in rows.items()
    }
    write("peers", content)
    (RESULTS / "peers.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""
    panels = panels_of(FIGURES, {group(rate): by_way for rate, by_way in rows.items()})
    title = "A Linux guest of 1 GiB moves: medians, and ranges as lines"
    return svg(title, WAYS, panels, note)


def _ratio(by_way: Mapping[str, Sequence[Moved]], way: str, value: Callable[[Moved], float]) -> str:
    """Of our medians to QEMU's."""
    if way in QEMU:
        return ""
    middle = {name: median(value(one) for one in moved) for name, moved in by_way.items()}
    ratios = {name: middle[way] / max(middle[one], 0.001) for one, name in SHORT if one in middle}
    return ", ".join(f"{ratio:.2f} of {name}" for name, ratio in ratios.items())


def _parts(moved: Sequence[Moved]) -> str:
    names = dict.fromkeys(name for one in moved for name in one.parts_ms)
    return ", ".join(
        f"{name} {spread([one.parts_ms.get(name, 0.0) for one in moved]).median:.1f}"
        for name in names
    )


def group(rate: int) -> str:
    """A rate of dirtying, for people."""
    return f"{rate} MiB/s" if rate else "idle"


if __name__ == "__main__":
    sys.exit(main())
