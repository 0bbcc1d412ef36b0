"""The QEMU driver, over real QEMUs, keeps what every driver promises."""

from collections.abc import Iterator

import pytest

from tests import qemu
from tests.drivers.bed import Bed, Node
from tests.drivers.contract import DriverContract
from tests.drivers.qemu_bed import EAGER, QemuBed

pytestmark = [pytest.mark.slow, qemu.needed]


class TestQemu(DriverContract):
    @pytest.fixture
    def bed(self) -> Iterator[Bed]:
        """Real QEMUs."""
        bed = QemuBed()
        try:
            yield bed
        finally:
            bed.close()

    @pytest.fixture
    def eager(self) -> Iterator[Node]:
        """One that works as fast as it can."""
        bed = QemuBed(EAGER)
        try:
            yield bed.node("a")
        finally:
            bed.close()
