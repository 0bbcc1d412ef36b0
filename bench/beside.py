"""The tables of bench/README.md that set our migrations beside QEMU's, from peers.json. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.figures import spread
from bench.guest import MIB
from bench.peers import QEMU, TLS, WAYS

Run = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Sequence[Run]]]  # by rate in MiB/s and by way

FIGURES: Mapping[str, Callable[[Run], float]] = {
    "total, ms": lambda run: run["total_ms"],
    "downtime, ms": lambda run: run["downtime_ms"],
    "on the wire, MiB": lambda run: run["wire_bytes"] / MIB,
    "processor time, s": lambda run: run["source_cpu_s"] + run["destination_cpu_s"],
}
HEALTH = "guest afterwards"


def tables(rows: Rows) -> str:
    """One for each figure, and one of how the guests were."""
    made = [_table(what, rows, _cell_of(figure)) for what, figure in FIGURES.items()]
    return "\n\n".join([*made, _table(HEALTH, rows, _healths)])


Cell = Callable[[Mapping[str, Sequence[Run]], str], str]


def _table(what: str, rows: Rows, cell: Cell) -> str:
    rates = [f"{rate} MiB/s" if int(rate) else "idle" for rate in rows]
    lines = ["| " + " | ".join([what, *rates]) + " |", "|---" * (len(rates) + 1) + "|"]
    for way in WAYS:
        cells = [cell(by_way, way) if way in by_way else "" for by_way in rows.values()]
        lines.append("| " + " | ".join([way, *cells]) + " |")
    return "\n".join(lines)


def _cell_of(figure: Callable[[Run], float]) -> Cell:
    def cell(by_way: Mapping[str, Sequence[Run]], way: str) -> str:
        values = [figure(run) for run in by_way[way]]
        if way in QEMU or TLS not in by_way:
            return str(spread(values))
        of_tls = median(values) / max(median(figure(run) for run in by_way[TLS]), 0.001)
        return f"{spread(values)}, {of_tls:.2f} of tls"

    return cell


def _healths(by_way: Mapping[str, Sequence[Run]], way: str) -> str:
    counted = Counter(run["health"] for run in by_way[way])
    return ", ".join(f"{count} {health}" for health, count in counted.items())
