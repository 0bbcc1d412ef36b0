"""Moving over a slow link: 100 Mbit/s and 1 Gbit/s between two network namespaces, by codec.

`python -m bench.links [--runs N] [--quick]` prints medians and ranges, and writes
bench/results/links.json and .svg. Only root may make namespaces. A token bucket on both ends of the
cable limits each direction by itself; what is counted came out of the cable at the destination,
TCP's headers included.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import RESULTS, spread, told, write
from bench.guest import MIB
from bench.meter import interface_bytes
from bench.micro import HOSTS, Shuttle, Trip, program
from bench.plot import Panel, svg
from bench.running import Asked, asked, say
from tests import needs
from tests.cluster import Cluster, cluster
from tests.netlab import CABLE, Place, place

NAME = "links"
LINKS, QUICK_LINKS = ("100mbit", "1gbit"), ("1gbit",)
CODECS, QUICK_CODECS = ("auto", "raw", "zstd"), ("auto",)
BUCKET = ("burst", "256k", "latency", "50ms")
MEMORY, FILL_MIB, SET_MIB, RATE_MIB_PER_S = "128M", 64, 16, 2


@dataclass(frozen=True)
class Moved:
    """One migration, and what went to the destination for it."""

    trip: Trip
    wire_bytes: int


FIGURES: Mapping[str, Callable[[Moved], float]] = {
    "total, ms": lambda moved: moved.trip.total_ms,
    "downtime, ms": lambda moved: moved.trip.downtime_ms,
    "on the wire, MiB": lambda moved: moved.wire_bytes / MIB,
}
Rows = dict[str, dict[str, list[Moved]]]  # by link, by codec


def main(words: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = asked(NAME, words)
    try:
        rows = measure(QUICK_LINKS if wanted.is_quick else LINKS, wanted)
    except needs.MISSING as reason:
        say(f"cannot run here: {reason}")
        return
    report(rows)
    if not wanted.is_quick:
        keep(rows, wanted)


def measure(links: Sequence[str], wanted: Asked) -> Rows:
    """All codecs in turns, on one link after the other."""
    codecs = QUICK_CODECS if wanted.is_quick else CODECS
    rows: Rows = {link: {codec: [] for codec in codecs} for link in links}
    with cable() as places, cluster([*HOSTS], {**places, "operator": places[HOSTS[0]]}) as world:
        guest = Shuttle(world, "vm1", MEMORY, program(RATE_MIB_PER_S, SET_MIB, FILL_MIB))
        for link, by_codec in rows.items():
            limit(places, link)
            for _ in range(wanted.runs):
                for codec, found in by_codec.items():
                    found.append(_moved(world, guest, codec))
                    say(f"{link}, {codec}: {_told(found[-1])}")
        guest.require_right()
    return rows


@contextmanager
def cable() -> Iterator[dict[str, Place]]:
    """Both hosts, and a cable between them."""
    with place(HOSTS[0], "10.9.1.1") as host1, place(HOSTS[1], "10.9.1.2") as host2:
        host1.ip(f"link add {CABLE} type veth peer name {CABLE} netns {host2.namespace}")
        for host in (host1, host2):
            host.ip(f"address add {host.address}/24 dev {CABLE}", f"link set {CABLE} up")
        yield {HOSTS[0]: host1, HOSTS[1]: host2}


def limit(places: Mapping[str, Place], rate: str) -> None:
    """Each direction takes so much from now on."""
    tool = needs.program("tc")
    for one in places.values():
        bucket = ("qdisc", "replace", "dev", CABLE, "root", "tbf", "rate", rate, *BUCKET)
        subprocess.run([*one.within, tool, *bucket], check=True)


def _moved(world: Cluster, guest: Shuttle, codec: str) -> Moved:
    process = world.nodes[guest.there].process
    assert process
    before = interface_bytes(process.pid, CABLE)
    trip = guest.move("--codec", codec)
    return Moved(trip, interface_bytes(process.pid, CABLE) - before)


def _told(moved: Moved) -> str:
    return ", ".join(f"{figure} {value(moved):.0f}" for figure, value in FIGURES.items())


def report(rows: Rows) -> None:
    """Medians and ranges."""
    for link, by_codec in rows.items():
        say(f"\n{link}, {FILL_MIB} MiB not zero, medians (and ranges)")
        for figure, value in FIGURES.items():
            for codec, moved in by_codec.items():
                say(f"  {figure:18} {codec:5} {spread([value(one) for one in moved])}")


def keep(rows: Rows, wanted: Asked) -> None:
    """The files."""
    content: dict[str, Any] = {**wanted.whence, "filled_mib": FILL_MIB}
    content["rows"] = {
        link: {codec: [asdict(one) for one in moved] for codec, moved in by_codec.items()}
        for link, by_codec in rows.items()
    }
    write(NAME, content)
    (RESULTS / f"{NAME}.svg").write_text(plotted(rows, told(content)))


def plotted(rows: Rows, note: str) -> str:
    """The figures as a plot."""
    panels = [
        Panel(
            f"{link}: {figure}",
            {link: {one: spread([value(m) for m in moved]) for one, moved in by_codec.items()}},
        )
        for link, by_codec in rows.items()
        for figure, value in FIGURES.items()
    ]
    title = f"{FILL_MIB} MiB, 30 % text, over a limited link: medians, and ranges as lines"
    return svg(title, CODECS, panels, note)


if __name__ == "__main__":
    main()
