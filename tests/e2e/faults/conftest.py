"""A bench for many cases, and a case for each test."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.faults.bench import Bench
from tests.e2e.faults.case import Case


class Benches:
    """The bench in use; another one after a case that failed."""

    def __init__(self, build: Callable[[], Bench] = Bench.built) -> None:
        self._build = build
        self._bench: Bench | None = None

    def get(self) -> Bench:
        """The one in use."""
        self._bench = self._bench or self._build()
        return self._bench

    @contextmanager
    def case(self) -> Iterator[Case]:
        """A case on it; if that is not over in the end, it failed."""
        made = Case.of(self.get())
        try:
            yield made
        finally:
            made.close()
            if not made.is_over:
                for node in made.bench.world.nodes.values():
                    sys.stdout.write(f"--- {node.name}\n{node.log[-6000:]}\n")
                self.drop()

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
    with benches.case() as made:
        yield made
