"""Where the processor time of first rounds goes, by sampling: for each daemon's event loop, gRPC's
threads and workers, by library and by what is known of functions.

`python -m bench.profile [--runs N]` migrates the micro-VM of bench.throughput there and back under
`perf record`, and writes bench/results/profile.txt. Needs perf and the right to use it; by itself
only. Samples are of the whole machine, by its clock, and only those count that fall into a first
round.
"""

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import RESULTS, told
from bench.guest import FULL
from bench.micro import HOSTS, Shuttle, program
from bench.running import asked, say
from tests.cluster import Cluster, cluster

HZ = 1997
SAMPLE = re.compile(r"\s*(.+?)\s+(\d+)/(\d+)\s+([\d.]+):\s+[0-9a-f]+ (.*) \((.*)\)$")
FORMAT = "comm,pid,tid,time,ip,sym,dso"
LIBRARIES, FUNCTIONS, LEAST_S = 6, 8, 0.02


@dataclass(frozen=True)
class Window:
    """A first round, in seconds since 1970, and the daemons' pids."""

    begin_s: float
    end_s: float
    roles: dict[int, str]  # source or destination

    def role(self, pid: int, at_s: float) -> str:
        """Of a process at that time; "" if it has none."""
        return self.roles.get(pid, "") if self.begin_s <= at_s <= self.end_s else ""


def main(words: Sequence[str] | None = None) -> None:
    """Run and write."""
    wanted = asked("profile", words)
    with cluster([*HOSTS]) as world:
        guest = Shuttle(world, "vm1", "1G", program(1, 16, FULL.filled_mib))
        data = world.directory / "perf.data"
        with recording(data):
            windows = [moved(world, guest) for _ in range(wanted.runs)]
        lines = [f"first rounds of {wanted.runs} migrations of {FULL}; {told(wanted.whence)}"]
        lines += summed(samples(data), windows)
    text = "\n".join([*lines, ""])
    say(text)
    (RESULTS / "profile.txt").write_text(text)


@contextmanager
def recording(data: Path) -> Iterator[None]:
    """With perf at work on the whole machine."""
    options = ("-a", "-q", "-k", "CLOCK_REALTIME", "-e", "cpu-clock", "-F", str(HZ))
    with subprocess.Popen(["perf", "record", *options, "-o", str(data)]) as perf:  # noqa: S607
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)


def moved(world: Cluster, guest: Shuttle) -> Window:
    """One migration, and when its first round was."""
    here, there = guest.here, guest.there
    pids = {name: node.process.pid for name, node in world.nodes.items() if node.process}
    guest.move("--codec", "raw")
    newest = json.loads(world.ctl("list", "--json").stdout.splitlines()[0])["migration"]["id"]
    lines = world.ctl("watch", newest, "--json").stdout.splitlines()
    events = [one.get("event", one) for one in map(json.loads, lines)]
    first = next(one for one in events if str(one.get("message")).startswith("round 1:"))
    lasted = re.search(r" in ([\d.]+) s", first["message"])
    assert lasted
    end_s = int(first["at_ms"]) / 1e3
    roles = {pids[here]: "source", pids[there]: "destination"}
    return Window(end_s - float(lasted[1]), end_s, roles)


def samples(data: Path) -> Iterator[str]:
    """As perf tells them."""
    command = ["perf", "script", "-G", "-F", FORMAT, "-i", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as perf:
        assert perf.stdout
        yield from perf.stdout


def summed(lines: Iterable[str], windows: Sequence[Window]) -> list[str]:
    """Seconds of each kind of thread in a first round, on average. Pure."""
    libraries: dict[str, Counter[str]] = {}
    functions: dict[str, Counter[str]] = {}
    for match in filter(None, map(SAMPLE.match, lines)):
        name, pid, tid, at_s, function, library = match.groups()
        role = next(filter(None, (one.role(int(pid), float(at_s)) for one in windows)), "")
        if role:
            whose = f"{role}, {_kind(name, pid == tid)}"
            libraries.setdefault(whose, Counter())[Path(library).name] += 1
            functions.setdefault(whose, Counter())[function] += 1
    second = HZ * len(windows)
    told_of = sorted(libraries, key=lambda whose: -libraries[whose].total())
    return [
        line
        for whose in told_of
        if libraries[whose].total() >= LEAST_S * second
        for line in (
            f"{libraries[whose].total() / second:6.3f} s  {whose}",
            *_most(libraries[whose], LIBRARIES, second),
            *_most(functions[whose], FUNCTIONS, second),
        )
    ]


def _kind(thread: str, is_main: bool) -> str:
    if is_main:
        return "event loop"
    return "workers" if thread == "bmigd" else "gRPC's threads"


def _most(counts: Counter[str], most: int, second: float) -> list[str]:
    words = [f"{what} {count / second:.3f}" for what, count in counts.most_common(most)]
    return [f"          {', '.join(words)}"]


if __name__ == "__main__":
    main()
