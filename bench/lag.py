"""How late the event loops of daemons run what is due, from the ticks inside them (ticking.py).

What becomes due while a loop is busy waits until it is not. A loop also runs late because the
machine does something else: that is what a daemon with nothing to do, which ticks in the same way,
is there for.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import ticking
from bench.judging import percentile
from tests.cluster import Cluster
from tests.daemons import eventually

NOTES = "ticks"  # in a node's directory
Lag = dict[str, dict[str, float]]  # by daemon


class Tick(NamedTuple):
    """One, as it was noted."""

    ran_s: float  # of the monotonic clock
    late_s: float

    @property
    def due_s(self) -> float:
        """When it should have run."""
        return self.ran_s - self.late_s


def ticking_bmigd(directory: Path) -> list[str | Path]:
    """What starts the daemon of a node's directory with ticks, as a cluster takes it."""
    return [sys.executable, "-P", ticking.__file__, directory / NOTES, "bmigd"]


def lag_since(began_s: float, world: Cluster, here: str, there: str) -> Lag:
    """From then on, of the daemons that tick: a migration's source and destination by these words,
    others by their names. `began_s` is of the monotonic clock.
    """
    ended_s = time.monotonic()
    sides = {here: "source", there: "destination"}
    notes = {name: node.directory / NOTES for name, node in world.nodes.items()}
    return {
        sides.get(name, name): figures(due_between(began_s, ended_s, path))
        for name, path in notes.items()
        if path.exists()
    }


def due_between(began_s: float, ended_s: float, path: Path) -> list[Tick]:
    """All that were due then; waits for one that was due later, and so for all of those."""
    eventually(partial(_is_noted_beyond, ended_s, path), what=f"a tick in {path}")
    return [one for one in all_due(noted(path)) if began_s <= one.due_s <= ended_s]


def noted(path: Path) -> list[Tick]:
    """What is in a file, in order."""
    return [Tick(*one) for one in ticking.TICK.iter_unpack(path.read_bytes())]


def all_due(ticks: Iterable[Tick]) -> Iterator[Tick]:
    """Also those for which a late one speaks: they would have run when it did."""
    for one in ticks:
        for skipped in range(int(one.late_s // ticking.EVERY_S) + 1):
            yield Tick(one.ran_s, one.late_s - skipped * ticking.EVERY_S)


def figures(ticks: Sequence[Tick]) -> dict[str, float]:
    """Of at least one."""
    late_ms = [1e3 * one.late_s for one in ticks]
    longest = max(ticks, key=lambda one: one.late_s)
    return {
        "longest_ms": 1e3 * longest.late_s,
        "longest_at_ms": 1e3 * (longest.ran_s + time.time() - time.monotonic()),  # since 1970
        "p99_ms": percentile(late_ms, 0.99),
        "median_ms": percentile(late_ms, 0.5),
        "ticks": len(ticks),
    }


def told_lag(lag: Lag) -> str:
    """In a line."""
    return "; ".join(
        f"{who} at most {one['longest_ms']:.1f} ms late, 99 % {one['p99_ms']:.1f} ms"
        for who, one in sorted(lag.items())
    )


def _is_noted_beyond(moment_s: float, path: Path) -> bool:
    found = noted(path)
    return bool(found) and found[-1].due_s > moment_s
