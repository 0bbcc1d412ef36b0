"""The bhyve driver, over real processes of the micro-VM, keeps what every driver promises."""

from collections.abc import Iterator

import pytest

from tests.drivers.bed import Bed, Node
from tests.drivers.bhyve_bed import EAGER, BhyveBed
from tests.drivers.contract import DriverContract

pytestmark = pytest.mark.slow


class TestBhyve(DriverContract):
    @pytest.fixture
    def bed(self) -> Iterator[Bed]:
        """Micro-VMs."""
        bed = BhyveBed()
        try:
            yield bed
        finally:
            bed.close()

    @pytest.fixture
    def eager(self) -> Iterator[Node]:
        """One that works as fast as it can."""
        bed = BhyveBed(EAGER)
        try:
            yield bed.node("a")
        finally:
            bed.close()
