"""A daemon dies at every named point, on either side: the guest ends up running once, as it was."""

import pytest

from bmigd.crashpoints import OTHERS
from bmigd.migration.steps import crash_points
from tests.e2e.faults.case import Case
from tests.e2e.faults.points import MARKS, POINTS, Way, named, named_mark, play, play_mark
from tests.e2e.faults.results import keep

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("point", "way"), POINTS, ids=[f"{p}-{w.__name__}" for p, w in POINTS])
def test_a_daemon_that_dies_anywhere_leaves_one_copy(case: Case, point: str, way: Way) -> None:
    keep(named(point, way), play(case, point, way))


@pytest.mark.parametrize(("side", "write"), MARKS)
def test_a_daemon_that_dies_before_the_mark_of_a_write_leaves_one_copy(
    case: Case, side: str, write: int
) -> None:
    keep(named_mark(side, write), play_mark(case, side, write))


def test_every_crash_point_is_tried_on_its_side(capsys: pytest.CaptureFixture[str]) -> None:
    points = {point for point, _ in POINTS}
    assert points == {*crash_points(), *OTHERS}
    with capsys.disabled():
        ways = len(POINTS) + len(MARKS)
        print(f"\n{len(points) + 1} crash points, {ways} ways to die there")  # noqa: T201
