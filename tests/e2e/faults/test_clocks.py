"""The time of day jumps under a daemon and its guests while a guest moves: nothing is decided by
it, so nothing happens.

No clock of the machine is touched: clock.c stands between the time of day and the daemon, its
supervisors and its hypervisors.
"""

import json
import struct
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Node
from tests.e2e.faults.bench import Bench
from tests.e2e.faults.case import Case
from tests.e2e.faults.matrix import Cell
from tests.e2e.faults.results import Name, keep
from tests.e2e.faults.strikes import bring_into, let_go_on
from tests.needs import program

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).with_name("clock.c")
DAY_S = 86_400
# Certificates are valid from five minutes before they were made, and for years.
JUMPS = {"clock set forward a day": DAY_S, "clock set back four minutes": -240}
PHASES = "precopy", "switchover", "let go", "handoff"
SIDES = "source", "destination"
CASES = [*product(JUMPS, PHASES, SIDES)]


def set_clock(node: Node, offset_s: int) -> None:
    """The time of day jumps there; written in place, for it is mapped."""
    with (node.directory / "clock").open("r+b") as file:
        file.write(struct.pack("@q", offset_s))


@pytest.fixture(name="clocks", scope="module")
def make_clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose nodes have clocks of their own."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    compiler = program("gcc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, SOURCE], check=True
    )
    bench = Bench.built()
    for node in bench.world.nodes.values():
        clock = node.directory / "clock"
        clock.write_bytes(bytes(8))
        node.environment |= {"LD_PRELOAD": str(library), "BMIG_CLOCK": str(clock)}
        node.stop()
        node.start()
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("jump", "phase", "side"), CASES, ids=["-".join(one).replace(" ", "_") for one in CASES]
)
def test_a_clock_that_jumps_changes_nothing(
    clocks: Bench, jump: str, phase: str, side: str
) -> None:
    case = Case.of(clocks)
    victim = case.side(side)
    try:
        bring_into(case, Cell("clock", phase, side))
        case.strike()
        set_clock(victim, JUMPS[jump])
        let_go_on(case.source)
        result = case.settle("moved")
        told = _told(case, side)
    finally:
        set_clock(victim, 0)
        case.close()
    told_s = (int(told["ended_at_ms"]) - int(told["started_at_ms"])) / 1000
    assert abs(told_s - JUMPS[jump]) < 60  # it was seen, and is told as it was seen
    assert 0 < int(told["report"]["total_us"]) < 60e6
    keep(Name(jump, phase, side), result)


def _told(case: Case, side: str) -> dict[str, Any]:
    """The migration as that side tells it."""
    records: dict[str, dict[str, Any]] = json.loads(
        case.bench.world.ctl("show", case.id, "--json").stdout
    )["records"]
    return records[case.side(side).name]
