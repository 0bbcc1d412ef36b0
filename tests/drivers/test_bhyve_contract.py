"""The bhyve driver, over real processes of the micro-VM, keeps what every driver promises."""

from collections.abc import Iterator

import pytest

from tests.drivers.bed import Bed
from tests.drivers.bhyve_bed import BhyveBed
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
