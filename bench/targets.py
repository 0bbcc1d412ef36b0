"""What the figures in bench/results are held to: a table in bench/README.md, filled from the files,
as are those of our migrations beside QEMU's.

`python -m bench.targets` rewrites them and prints the targets. What no file tells is "not
measured"; nothing here fails.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.beside import tables
from bench.ceiling import AUTO, RAW
from bench.figures import RESULTS, told
from bench.measured import (
    Found,
    Results,
    bhyve_path,
    estimates_of_links,
    estimates_of_micro_vms,
    estimates_of_peers,
    estimates_of_rates,
    goodput,
    growth,
    lag_of_peers,
    lag_of_sizes,
    of_better,
    of_tls,
    quiet,
    quiet_of_peers,
    throughput,
)
from bench.peers import CONTENT, ENCODED, PAGEMAP, PAGEMAP_BACK
from bench.running import say

OURS = (PAGEMAP, PAGEMAP_BACK)
README = Path(__file__).parent / "README.md"
FILES = ("throughput", "ceiling", "bhyve_path", "sizes", "rates", "crowd", "links", "peers")


@dataclass(frozen=True)
class Target:
    """One row."""

    what: str
    limit: float
    is_least: bool  # else it is the most
    measure: Callable[[Results], Found]
    unit: str = ""
    why: str = ""  # it is missed, where it is

    def row(self, results: Results) -> str:
        """Of the table."""
        limit = f"{'≥' if self.is_least else '≤'} {self.limit:g}{self.unit}"
        try:
            found = self.measure(results)
        except LookupError:
            return f"| {self.what} | {limit} | not measured | | |"
        above, below = found.value >= self.limit, found.value <= self.limit
        is_met = above if self.is_least else below
        verdict, why = ("met", "") if is_met else ("**missed**", self.why)
        return f"| {self.what} | {limit} | {found}{self.unit} | {verdict} | {why} |"


def main() -> None:
    """Rewrite and print."""
    results = read()
    table, text = tabled(results), README.read_text(encoding="utf-8")
    text = with_table(text, "targets", table)
    if "peers" in results:
        text = with_table(text, "peers", tables(results["peers"]["rows"]))
    README.write_text(text, encoding="utf-8")
    say(table)


def read() -> Results:
    """The files that are there."""
    paths = {name: RESULTS / f"{name}.json" for name in FILES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def with_table(text: str, name: str, table: str) -> str:
    """A document with the table between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"no {begin} … {end}"
    return f"{before}{begin}\n{table}\n{end}{after}"


def tabled(results: Results) -> str:
    """All targets, and where the figures are from."""
    lines = ["| measure | target | measured | | why |", "|---|---|---|---|---|"]
    lines += [target.row(results) for target in TARGETS]
    lines.append("")
    for name in FILES:
        whence = told(results[name]) if name in results else "not measured"
        lines.append(f"- `{name}`: {whence}")
    return "\n".join(lines)


def of_qemu(what: str, figure: str, rate: int, way: str, limit: float, why: str) -> Target:
    """Our median to that of QEMU's better way."""
    words = f"{what}, {way}, {rate} MiB/s, to QEMU's better"
    return Target(words, limit, False, of_better(way, rate, figure), why=why)


TWO = "two processors do the work of both ends"
NO_FLOOR = (
    f"{TWO}: 0.4 of `multifd`'s time is about what the bare stream alone takes for as many bytes,"
    " with nothing found, copied, hashed and written"
)
BARE = f"{TWO}: [what is done with the bytes, and by whom](#where-the-time-goes)"
OFTEN = "80 MiB are written in each second of it"
MACHINE = (
    "an idle daemon is late too, by what stands beside it: the machine stops all of them at times"
)
DEAR = "guests of 4 and 8 GiB: memory is dear (above) in one migration and not in another"
EMULATED = "its pages are hashed on the processors that emulate the guest"
ITS_OWN = "nearly all of it is the hypervisor's own writing and reading of all memory"
BUSY = "the last pass and the hypervisor's writing share the processors"
TARGETS = (
    *(of_qemu("total", "total_ms", rate, way, 0.4, NO_FLOOR) for way in OURS for rate in (0, 20)),
    *(
        of_qemu("bytes", "wire_bytes", rate, way, limit, why if rate >= since else "")
        for way, limit, since, why in (
            (PAGEMAP, 0.75, 0, "`auto` encodes where a processor is idle, and none is"),
            (ENCODED, 0.75, 80, f"what is written meanwhile goes twice: {OFTEN}"),
            (PAGEMAP_BACK, 0.1, 80, OFTEN),
        )
        for rate in (0, 20, 80)
    ),
    Target("downtime, pagemap, 80 MiB/s, to QEMU `tls`", 0.5, False, of_tls(PAGEMAP, 80)),
    Target("downtime, content, 80 MiB/s, to QEMU `tls`", 1.0, False, of_tls(CONTENT, 80)),
    Target(
        "downtime, bhyve path, 1 GiB, 20 MiB/s, to that by file",
        *(0.35, False, bhyve_path),
        why=ITS_OWN,
    ),
    Target(
        "incompressible memory, codec auto, to bare grpc.aio", 0.9, True, goodput(AUTO), why=BARE
    ),
    Target("incompressible memory, codec raw, to bare grpc.aio", 0.9, True, goodput(RAW), why=BARE),
    Target("700 MiB, 30 % text, codec raw, to bare grpc.aio", 0.7, True, throughput, why=BARE),
    Target("growth of a daemon, to 64 MiB + 0.4 % of memory", 1.0, False, growth),
    Target("quiet round, 1 GiB, micro-VM, content", 120, False, quiet, " ms"),
    Target("quiet round, 1 GiB, Linux, pagemap", 120, False, quiet_of_peers(PAGEMAP), " ms"),
    Target(
        "quiet round, 1 GiB, Linux, content", 120, False, quiet_of_peers(CONTENT), " ms", EMULATED
    ),
    Target("event loop lag, micro-VM", 20, False, lag_of_sizes, " ms", MACHINE),
    Target("event loop lag, Linux", 20, False, lag_of_peers, " ms", MACHINE),
    Target(
        "estimates of downtime, sizes and bhyve path", 0.8, True, estimates_of_micro_vms, why=DEAR
    ),
    Target("estimates of downtime, rates", 0.8, True, estimates_of_rates, why=BUSY),
    Target("estimates of downtime, slow links", 0.8, True, estimates_of_links, why=BUSY),
    Target("estimates of downtime, Linux", 0.8, True, estimates_of_peers, why=BUSY),
)

if __name__ == "__main__":
    main()
