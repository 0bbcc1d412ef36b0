"""What a switchover costs is the driver's estimate times what the last few to that node took."""

import json
import stat
from pathlib import Path
from statistics import median
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.base import Driver
from bmigd.migration.costs import LAST, LEAST, MOST, Costs

FIXED_S, HIDDEN_S = 0.4, 0.1


class Estimating:
    """As much of a driver as is asked."""

    def __init__(self, name: str = "bhyve") -> None:
        self.name = name

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        return FIXED_S if memory_bytes else 0.0

    def hidden_s(self, memory_bytes: int) -> float:
        return HIDDEN_S


BHYVE, QEMU = cast(Driver, Estimating()), cast(Driver, Estimating("qemu"))


def took(costs: Costs, seconds: float, driver: Driver = BHYVE, to: str = "host2") -> None:
    cost = costs.of(driver, to)
    cost.fixed_s(1, 1)
    cost.learn(seconds)


def estimated(costs: Costs, driver: Driver = BHYVE, to: str = "host2") -> tuple[float, float]:
    cost = costs.of(driver, to)
    return cost.fixed_s(1, 1), cost.hidden_s(1)


def test_the_first_estimate_is_the_drivers(tmp_path: Path) -> None:
    assert estimated(Costs(tmp_path / "seen.json")) == (FIXED_S, HIDDEN_S)


def test_what_one_took_is_what_the_next_may_take(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "seen.json")
    took(costs, 2 * FIXED_S)
    assert estimated(costs) == pytest.approx((2 * FIXED_S, 2 * HIDDEN_S))


def test_each_node_and_each_driver_has_its_own(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "seen.json")
    took(costs, 2 * FIXED_S)
    assert estimated(costs, to="host3") == estimated(costs, QEMU) == (FIXED_S, HIDDEN_S)


def test_one_in_trouble_among_three_does_not_count(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "seen.json")
    for seconds in (FIXED_S, 30.0, 1.1 * FIXED_S):
        took(costs, seconds)
    assert estimated(costs)[0] == pytest.approx(1.1 * FIXED_S)


def test_an_estimate_that_nobody_asked_for_is_not_judged(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "seen.json")
    costs.of(BHYVE, "host2").learn(3.0)
    assert estimated(costs)[0] == FIXED_S


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
def test_the_median_of_the_last_three_counts_and_outlives_the_daemon(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float]
) -> None:
    file = tmp_path_factory.mktemp("costs") / "seen.json"
    costs = Costs(file)
    for one in seconds:
        took(costs, one)
    times = [min(max(one / FIXED_S, LEAST), MOST) for one in seconds[-LAST:]]
    assert estimated(costs)[0] == pytest.approx(median(times) * FIXED_S)
    assert estimated(Costs(file)) == estimated(costs)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', '{"bhyve to host2": 3}', '{"bhyve to host2": ["slow"]}']
)
def test_a_file_that_makes_no_sense_is_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "seen.json"
    file.write_text(content)
    costs = Costs(file)
    assert estimated(costs) == (FIXED_S, HIDDEN_S)
    took(costs, 2 * FIXED_S)
    assert json.loads(file.read_text()) == {"bhyve to host2": [pytest.approx(2.0)]}


@pytest.mark.parametrize(
    ("word", "is_read_as"), [("NaN", LEAST), ("Infinity", MOST), ("-1", LEAST)]
)
def test_figures_that_no_switchover_gave_are_bounded(
    tmp_path: Path, word: str, is_read_as: float
) -> None:
    file = tmp_path / "seen.json"
    file.write_text(f'{{"bhyve to host2": [{word}]}}')
    assert estimated(Costs(file))[0] == pytest.approx(is_read_as * FIXED_S)


def test_a_directory_that_cannot_be_written_costs_the_file_only(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "missing" / "seen.json")
    took(costs, 2 * FIXED_S)
    assert estimated(costs)[0] == pytest.approx(2 * FIXED_S)
