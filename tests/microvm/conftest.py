"""Homes for the tests of the micro-VM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.microvm.host import Host, hosts


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path / "h") as home:
        yield home
