"""A bed of micro-VMs for the tests of the bhyve driver alone."""

from collections.abc import Iterator

import pytest

from tests.drivers.bhyve_bed import BhyveBed


@pytest.fixture
def bed() -> Iterator[BhyveBed]:
    """Nodes with micro-VMs."""
    bed = BhyveBed()
    try:
        yield bed
    finally:
        bed.close()
