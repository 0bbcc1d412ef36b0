"""What figures are held to. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NEAR = 0.3  # an estimate may be so much of what was measured away from it
OFTEN = 0.8


def jain(rates: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all have the same, 1/n if one has all; of at least one rate."""
    squares = len(rates) * sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / squares if squares else 1.0


def is_near(estimated: float, measured: float) -> bool:
    """Whether an estimate was good enough."""
    return abs(estimated - measured) <= NEAR * measured


@dataclass(frozen=True)
class Tally:
    """How many of some estimates were good enough."""

    near: int
    of: int

    @property
    def is_met(self) -> bool:
        """8 of 10, or better."""
        return self.near >= OFTEN * self.of

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.near + other.near, self.of + other.of)

    def __str__(self) -> str:
        return f"{self.near} of {self.of} within {NEAR:.0%}"


def tally(pairs: Iterable[tuple[float, float]]) -> Tally:
    """Of pairs of an estimate and what was measured."""
    judged = [is_near(estimated, measured) for estimated, measured in pairs]
    return Tally(sum(judged), len(judged))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of at least one value does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
