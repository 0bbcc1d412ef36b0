"""A bench for many cases, and a case for each test."""

import sys
from collections.abc import Iterator

import pytest

from tests.e2e.faults.bench import Bench
from tests.e2e.faults.case import Case


class Benches:
    """The bench in use; another one after a case that failed."""

    def __init__(self) -> None:
        self._bench: Bench | None = None

    def get(self) -> Bench:
        """The one in use."""
        self._bench = self._bench or Bench.built()
        return self._bench

    def drop(self) -> None:
        """What is left of it is of no use any more."""
        bench, self._bench = self._bench, None
        if bench:
            bench.close()


@pytest.fixture(name="benches", scope="session")
def make_benches() -> Iterator[Benches]:
    benches = Benches()
    yield benches
    benches.drop()


@pytest.fixture(name="case")
def make_case(benches: Benches) -> Iterator[Case]:
    made = Case.of(benches.get())
    yield made
    made.close()
    if not made.is_over:
        for node in made.bench.world.nodes.values():
            sys.stdout.write(f"--- {node.name}\n{node.log[-6000:]}\n")
        benches.drop()
