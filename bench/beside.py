"""The tables of bench/README.md that set our migrations beside QEMU's, from peers.json. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.figures import spread
from bench.guest import Moved, healths
from bench.peers import FIGURES, QEMU, TLS, WAYS, ByWay, Rows, group

HEALTH = "guest afterwards"
Cell = Callable[[ByWay, str], str]


def tables(told: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> str:
    """One for each figure, and one of how the guests were; of the file's rows."""
    rows = {
        int(rate): {way: [Moved(**one) for one in moved] for way, moved in by_way.items()}
        for rate, by_way in told.items()
    }
    made = [_table(what, rows, _cell_of(figure)) for what, figure in FIGURES.items()]
    health = _table(HEALTH, rows, lambda by_way, way: healths(by_way[way]))
    return "\n\n".join([*made, health])


def _table(what: str, rows: Rows, cell: Cell) -> str:
    lines = [_line(what, map(group, rows)), "|---" * (len(rows) + 1) + "|"]
    for way in WAYS:
        lines.append(
            _line(way, (cell(by_way, way) if way in by_way else "" for by_way in rows.values()))
        )
    return "\n".join(lines)


def _line(first: str, cells: Iterable[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


def _cell_of(figure: Callable[[Moved], float]) -> Cell:
    def cell(by_way: ByWay, way: str) -> str:
        values = [figure(moved) for moved in by_way[way]]
        if way in QEMU or TLS not in by_way:
            return str(spread(values))
        of_tls = median(values) / max(median(figure(moved) for moved in by_way[TLS]), 0.001)
        return f"{spread(values)}, {of_tls:.2f} of tls"

    return cell
