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
    estimates_of_micro_vms,
    estimates_of_peers,
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

    def row(self, results: Results) -> str:
        """Of the table."""
        limit = f"{'≥' if self.is_least else '≤'} {self.limit:g}{self.unit}"
        try:
            found = self.measure(results)
        except LookupError:
            return f"| {self.what} | {limit} | not measured | |"
        above, below = found.value >= self.limit, found.value <= self.limit
        verdict = "met" if (above if self.is_least else below) else "**missed**"
        return f"| {self.what} | {limit} | {found}{self.unit} | {verdict} |"


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
    lines = ["| measure | target | measured | |", "|---|---|---|---|"]
    lines += [target.row(results) for target in TARGETS]
    lines.append("")
    for name in FILES:
        whence = told(results[name]) if name in results else "not measured"
        lines.append(f"- `{name}`: {whence}")
    return "\n".join(lines)


def of_qemu(what: str, figure: str, rate: int, way: str, limit: float) -> Target:
    """Our median to that of QEMU's better way."""
    words = f"{what}, {way}, {rate} MiB/s, to QEMU's better"
    return Target(words, limit, False, of_better(way, rate, figure))


TARGETS = (
    *(of_qemu("total", "total_ms", rate, way, 0.4) for way in OURS for rate in (0, 20)),
    of_qemu("bytes", "wire_bytes", 0, PAGEMAP, 0.75),
    of_qemu("bytes", "wire_bytes", 0, ENCODED, 0.75),
    of_qemu("bytes", "wire_bytes", 0, PAGEMAP_BACK, 0.1),
    Target("downtime, pagemap, 80 MiB/s, to QEMU `tls`", 0.5, False, of_tls(PAGEMAP, 80)),
    Target("downtime, content, 80 MiB/s, to QEMU `tls`", 1.0, False, of_tls(CONTENT, 80)),
    Target("downtime, bhyve path, 1 GiB, 20 MiB/s, to that by file", 0.35, False, bhyve_path),
    Target("incompressible memory, codec auto, to bare grpc.aio", 0.9, True, goodput(AUTO)),
    Target("incompressible memory, codec raw, to bare grpc.aio", 0.9, True, goodput(RAW)),
    Target("700 MiB, 30 % text, codec raw, to bare grpc.aio", 0.7, True, throughput),
    Target("growth of a daemon, to 64 MiB + 0.4 % of memory", 1.0, False, growth),
    Target("quiet round, 1 GiB, micro-VM, content", 120, False, quiet, " ms"),
    Target("quiet round, 1 GiB, Linux, pagemap", 120, False, quiet_of_peers(PAGEMAP), " ms"),
    Target("quiet round, 1 GiB, Linux, content", 120, False, quiet_of_peers(CONTENT), " ms"),
    Target("event loop lag, micro-VM", 20, False, lag_of_sizes, " ms"),
    Target("event loop lag, Linux", 20, False, lag_of_peers, " ms"),
    Target("estimates of downtime, micro-VM", 0.8, True, estimates_of_micro_vms),
    Target("estimates of downtime, Linux", 0.8, True, estimates_of_peers),
)

if __name__ == "__main__":
    main()
