"""Every process of either side is killed or hangs, or its host crashes, in every phase."""

import pytest

from tests.e2e.faults.case import Case
from tests.e2e.faults.matrix import APPLICABLE, CELLS, Cell, why_not
from tests.e2e.faults.results import Name, keep
from tests.e2e.faults.strikes import play

pytestmark = pytest.mark.e2e
IDS = ["-".join(cell).replace(" ", "_") for cell in APPLICABLE]


@pytest.mark.parametrize("cell", APPLICABLE, ids=IDS)
def test_whatever_befalls_a_process_the_guest_ends_up_once(case: Case, cell: Cell) -> None:
    keep(Name(*cell), play(case, cell))


def test_a_cell_without_a_test_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [cell for cell in CELLS if cell not in APPLICABLE]
    assert all(why_not(cell) for cell in left_out)
    with capsys.disabled():
        print(f"\n{len(APPLICABLE)} cells, {len(left_out)} do not apply")  # noqa: T201
