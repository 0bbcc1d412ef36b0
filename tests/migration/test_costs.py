"""People are told the driver's estimate times what the last few switchovers of guests of that size
to that node took; decisions are by the driver's estimate alone.
"""

import stat
from pathlib import Path
from statistics import median_low
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.base import Driver
from bmigd.migration.costs import ALIKE, KEPT, LAST, LEAST, MOST, Costs, One, usual

GIB = 1 << 30
FIXED_S = 0.4
ONCE_S = FIXED_S * 2**0.5  # is told after one that took twice as long


class Estimating:
    """As much of a driver as is asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        return FIXED_S


BHYVE, QEMU = cast(Driver, Estimating("bhyve")), cast(Driver, Estimating("qemu"))


def took(costs: Costs, seconds: float, to: str = "host2", memory_bytes: int = GIB) -> None:
    cost = costs.of(BHYVE, to, memory_bytes)
    cost.fixed_s(memory_bytes)
    cost.learn(seconds)


def told_s(
    costs: Costs, driver: Driver = BHYVE, to: str = "host2", memory_bytes: int = GIB
) -> float:
    cost = costs.of(driver, to, memory_bytes)
    assert cost.fixed_s(memory_bytes) == FIXED_S  # what is decided by is never more
    assert cost.told_s() == FIXED_S + cost.beyond_s
    return FIXED_S + cost.beyond_s


@pytest.fixture(name="file")
def make_file(tmp_path: Path) -> Path:
    return tmp_path / "seen.json"


def test_the_first_one_is_told_the_drivers_estimate(file: Path) -> None:
    assert told_s(Costs(file)) == FIXED_S


def test_what_they_took_the_next_is_told_the_sooner_the_more_there_are(file: Path) -> None:
    costs, told = Costs(file), []
    for _ in range(LAST + 1):
        took(costs, 2 * FIXED_S)
        told.append(told_s(costs) / FIXED_S)
    assert told == pytest.approx([2 ** (1 / 2), 2 ** (2 / 3), 2 ** (3 / 4), 2 ** (3 / 4)])


def test_each_node_and_each_driver_has_its_own(file: Path) -> None:
    costs = Costs(file)
    took(costs, 2 * FIXED_S)
    assert told_s(costs, to="host3") == told_s(costs, QEMU) == FIXED_S


@pytest.mark.parametrize(
    ("memory_bytes", "is_alike"),
    [
        (GIB // ALIKE, True),
        (GIB // ALIKE - 4096, False),
        (GIB * ALIKE, True),
        (GIB * ALIKE + 4096, False),
    ],
)
def test_guests_of_other_sizes_say_nothing(file: Path, memory_bytes: int, is_alike: bool) -> None:
    costs = Costs(file)
    took(costs, 2 * FIXED_S)
    expected_s = ONCE_S if is_alike else FIXED_S
    assert told_s(costs, memory_bytes=memory_bytes) == pytest.approx(expected_s)


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_in_trouble_does_not_count_beside_others(file: Path, others: int, at: int) -> None:
    costs = Costs(file)
    seconds = [1.1 * FIXED_S] * others
    seconds.insert(at, 20.0)
    for one in seconds:
        took(costs, one)
    assert FIXED_S < told_s(costs) < 1.1 * FIXED_S


def test_one_that_was_never_estimated_is_not_judged(file: Path) -> None:
    costs = Costs(file)
    costs.of(BHYVE, "host2", GIB).learn(3.0)
    assert told_s(costs) == FIXED_S


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=KEPT + 4))
def test_the_last_few_count_and_outlive_the_daemon(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float]
) -> None:
    file = tmp_path_factory.mktemp("costs") / "seen.json"
    costs = Costs(file)
    for one in seconds:
        took(costs, one)
    times = [min(max(one / FIXED_S, LEAST), MOST) for one in seconds[-LAST:]]
    weight = len(times) / (len(times) + 1)
    assert told_s(costs) == pytest.approx(median_low(times) ** weight * FIXED_S)
    assert told_s(Costs(file)) == told_s(costs)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


ONES = st.builds(One, st.integers(1, 1 << 45), st.floats(0, 1), st.floats(LEAST, MOST))


@given(st.lists(ONES), st.integers(1, 1 << 45))
def test_what_is_usual_was_seen_of_a_guest_of_that_size(seen: list[One], memory_bytes: int) -> None:
    alike = [one for one in seen if 0.5 <= one.memory_bytes / memory_bytes <= 2][-LAST:]
    found = usual(seen, memory_bytes)
    assert (found is None) == (not alike)
    if found:
        middle = median_low(one.times for one in alike)
        assert min(1.0, middle) <= found.times <= max(1.0, middle)
        assert found.filled in [one.filled for one in alike if one.times == middle]


class Filling:
    """A driver whose cost is what is not zero."""

    name = "filling"

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        return filled_bytes / GIB


def test_before_a_guest_is_sent_it_is_taken_to_be_as_full_as_those_before(file: Path) -> None:
    driver = cast(Driver, Filling())
    costs = Costs(file)
    empty = costs.of(driver, "host2", GIB)
    assert empty.told_s() == 1.0  # nothing is known: all of it may be written and read
    empty.fixed_s(GIB // 4)
    empty.learn(0.5)
    quarter_s = 0.25 * 2**0.5  # it took twice as long, once
    assert costs.of(driver, "host2", GIB).told_s() == pytest.approx(quarter_s)
    assert costs.of(driver, "host2", 2 * GIB).told_s() == pytest.approx(2 * quarter_s)


def test_only_so_many_are_kept(file: Path) -> None:
    costs = Costs(file)
    for _ in range(KEPT + 1):
        took(costs, FIXED_S)
    assert file.read_text().count("[1073741824,1.0,1.0]") == KEPT


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '"x"', "[" * 5000, '{"bhyve to host2": 3}'),
        *(f'{{"bhyve to host2": {one}}}' for one in ('["slow"]', '"16"', "[[1073741824, 1]]")),
        *(
            f'{{"bhyve to host2": [[1073741824, 1, {one}]]}}'
            for one in ("NaN", "Infinity", "-1", "1e9", "1" + "0" * 400)
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_as_none(file: Path, content: str) -> None:
    file.write_text(content)
    costs = Costs(file)
    assert told_s(costs) == FIXED_S
    took(costs, 2 * FIXED_S)
    assert told_s(Costs(file)) == pytest.approx(ONCE_S)


def test_a_directory_that_cannot_be_written_costs_the_file_only(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "missing" / "seen.json")
    took(costs, 2 * FIXED_S)
    assert told_s(costs) == pytest.approx(ONCE_S)


def test_a_full_disk_leaves_what_was_there_and_no_half_a_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = Costs(file)
    took(costs, 2 * FIXED_S)

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    took(costs, 3 * FIXED_S)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert told_s(Costs(file)) == pytest.approx(ONCE_S)
