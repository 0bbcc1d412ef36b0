"""A process with guest memory whose writes can be logged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.dirtylog.hypervisor import Hypervisor, hypervisor, require_kernel

PAGES = [48, 16]  # of the two regions


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Hypervisor]:
    """A hypervisor whose writes can be logged; all its memory is populated."""
    with hypervisor(tmp_path, PAGES) as one:
        await require_kernel(one.log())
        one.do(f"write 0 1 {sum(PAGES)}")
        yield one
