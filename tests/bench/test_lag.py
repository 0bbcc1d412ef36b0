"""How late event loops run is told from inside, with ticks that were missed, of no other loop."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench import ticking
from bench.lag import NOTES, Tick, all_due, due_between, figures, lag_since, noted, ticking_bmigd
from tests.cluster import Cluster, cluster
from tests.daemons import Node

QUIET_S, BLOCK_S = 0.5, 0.4
LOOP = """
import asyncio, sys, time

async def main():
    await asyncio.sleep(float(sys.argv[1]))
    began_s = time.monotonic()
    time.sleep(float(sys.argv[2]))
    print(began_s, time.monotonic(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Stood:
    """A loop that had nothing to do and then stood still, of the monotonic clock."""

    began_s: float
    ended_s: float
    notes: Path


@pytest.fixture(scope="module")
def stood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stood]:
    """A process that goes on afterwards."""
    directory = tmp_path_factory.mktemp("standing")
    (directory / "standing.py").write_text(LOOP)
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", ticking.__file__, directory / NOTES),
            *("standing", str(QUIET_S), str(BLOCK_S)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(directory)},
    )
    try:
        assert process.stdout
        began_s, ended_s = map(float, process.stdout.readline().split())
        yield Stood(began_s, ended_s, directory / NOTES)
    finally:
        process.kill()
        process.communicate()


def is_of_one_loop(ticks: Iterable[Tick]) -> bool:
    """Whether one was due every 5 ms, and no more."""
    due_s = sorted(one.due_s for one in all_due(ticks))
    return all(
        after - before == pytest.approx(ticking.EVERY_S, abs=1e-6)
        for before, after in pairwise(due_s)
    )


@pytest.mark.slow
def test_a_block_is_told_with_its_size_and_when_it_was(stood: Stood) -> None:
    found = due_between(stood.began_s, stood.ended_s, stood.notes)
    longest = max(found, key=lambda one: one.late_s)
    assert longest.late_s >= stood.ended_s - stood.began_s - ticking.EVERY_S
    assert longest.due_s <= stood.began_s + ticking.EVERY_S
    assert longest.ran_s >= stood.ended_s


@pytest.mark.slow
def test_whoever_comes_at_any_moment_of_a_block_counts(stood: Stood) -> None:
    found = due_between(stood.began_s, stood.ended_s, stood.notes)
    took_s = stood.ended_s - stood.began_s
    assert len(found) == pytest.approx(took_s / ticking.EVERY_S, abs=1)
    assert figures(found)["median_ms"] >= 1e3 * (took_s / 2 - 2 * ticking.EVERY_S)
    assert is_of_one_loop(noted(stood.notes))


@pytest.mark.slow
def test_a_loop_with_nothing_to_do_is_far_from_that(stood: Stood) -> None:
    began_s = stood.began_s - QUIET_S + ticking.EVERY_S
    found = figures(due_between(began_s, stood.began_s - ticking.EVERY_S, stood.notes))
    assert found["ticks"] == pytest.approx(QUIET_S / ticking.EVERY_S - 2, abs=1)
    assert found["median_ms"] < 1e3 * BLOCK_S / 8


def test_ticks_that_were_due_are_waited_for(tmp_path: Path) -> None:
    notes = tmp_path / NOTES
    in_time, late, beyond = Tick(1.0, 0.001), Tick(2.002, 0.003), Tick(2.1, 0.0)
    notes.write_bytes(ticking.TICK.pack(*in_time))

    def go_on() -> None:
        with notes.open("ab") as file:
            file.write(ticking.TICK.pack(*late) + ticking.TICK.pack(*beyond))

    timer = threading.Timer(0.1, go_on)
    timer.start()
    try:
        assert due_between(0.9, 2.0, notes) == [in_time, late]
    finally:
        timer.join()


@given(some.lists(some.floats(0, 1), min_size=1, max_size=20))
def test_a_late_tick_speaks_for_those_that_were_due_meanwhile(late_s: list[float]) -> None:
    ticks = [Tick(100.0 + number, one) for number, one in enumerate(late_s)]
    found = list(all_due(ticks))
    assert set(ticks) <= set(found)
    for tick in ticks:
        those = [one.late_s for one in found if one.ran_s == tick.ran_s]
        assert len(those) == int(tick.late_s // ticking.EVERY_S) + 1
        assert min(those) > -1e-9
        assert max(those) == tick.late_s


def test_one_late_tick_in_a_hundred_is_all_that_the_longest_tells() -> None:
    since_boot_s, since_1970_s = time.monotonic(), time.time()
    ticks = [Tick(since_boot_s - number, 0.0001) for number in range(198)]
    late = [Tick(since_boot_s - 7.5, 0.006), Tick(since_boot_s - 7.5, 0.001)]
    found = figures([*ticks, *late])
    assert found["longest_ms"] == pytest.approx(6)
    assert found["longest_at_ms"] == pytest.approx(1e3 * (since_1970_s - 7.5), abs=1e3)
    assert found["p99_ms"] == pytest.approx(1)
    assert found["median_ms"] == pytest.approx(0.1)
    assert found["ticks"] == 200


@pytest.mark.e2e
@pytest.mark.slow
def test_a_daemon_ticks_and_what_it_starts_does_not() -> None:
    with cluster(["host1"], command=ticking_bmigd) as world:
        began_s = time.monotonic()
        world.make_guest("vm1", "host1")
        took_s = time.monotonic() - began_s
        found = lag_since(began_s, world, "host1", "host2")
        assert set(found) == {"source"}
        assert found["source"]["ticks"] >= took_s / ticking.EVERY_S - 1
        assert is_of_one_loop(noted(world.nodes["host1"].directory / NOTES))


def test_daemons_that_do_not_tick_have_no_lag(tmp_path: Path) -> None:
    world = Cluster(tmp_path, {"host1": Node("host1", tmp_path, 0)})
    assert lag_since(time.monotonic(), world, "host1", "host2") == {}
