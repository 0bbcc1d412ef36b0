"""Migrations under random faults: `python -m tests.soak --count 200 --seed 7 --minutes 60`.

Each is one of the cases of tests/e2e/faults, or none; after each the same must hold as there, and
another migration takes everything along. The same seed takes the same cases. Not part of check.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.e2e.faults import points, strikes
from tests.e2e.faults.bench import GUEST, Bench, journal_entries
from tests.e2e.faults.case import Case
from tests.e2e.faults.matrix import APPLICABLE
from tests.e2e.faults.results import Result
from tests.e2e.faults.strikes import outlast
from tests.judge.verdict import SILENCE_S, judge
from tests.oracle import params_of

PEACEFUL = 0.3  # of all migrations
AT_A_POINT = 0.5  # of those with a fault


def _peace(case: Case) -> Result:
    case.begin()
    case.strike()
    return case.settle("moved")


def _chosen(chance: random.Random) -> tuple[str, Callable[[Case], Result]]:
    if chance.random() < PEACEFUL:
        return "no fault", _peace
    if chance.random() < AT_A_POINT:
        point, way = chance.choice(points.POINTS)
        return " ".join(points.named(point, way)), partial(points.play, point=point, way=way)
    cell = chance.choice(APPLICABLE)
    return " ".join(cell), partial(strikes.play, cell=cell)


def _one(bench: Bench, play: Callable[[Case], Result]) -> Result:
    case = Case.of(bench)
    try:
        return play(case)
    finally:
        case.close()


def soak(count: int, seed: int, minutes: float) -> list[Result]:
    """That many, or as many as fit; whatever must hold and does not ends it."""
    chance, results = random.Random(seed), list[Result]()  # noqa: S311 - the same again
    until = time.monotonic() + 60 * minutes
    bench = Bench.built()
    try:
        while len(results) < count and time.monotonic() < until:
            name, play = _chosen(chance)
            result = _one(bench, play)
            results.append(result)
            sys.stdout.write(f"{len(results)} {name}: {result.outcome}, {result.settle_s:.1f} s\n")
            sys.stdout.flush()
        outlast(SILENCE_S + 1)
        params = {GUEST: params_of((bench.world.storage / f"{GUEST}.rom").read_bytes())}
        found = judge(bench.observer.lines, params, journal_entries(bench.world))
        assert not found.problems, found
    finally:
        bench.close()
    return results


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--minutes", type=float, default=120.0)
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    results = soak(given.count, given.seed, given.minutes)
    outcomes = Counter(result.outcome for result in results).most_common()
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes)
    longest = max(result.settle_s for result in results)
    silence = max(result.downtime_s for result in results)
    sys.stdout.write(
        f"{len(results)} migrations under random faults, seed {given.seed}, each followed by one"
        f" without: {told}; 0 double runs, 0 losses, 0 orphans;"
        f" settled after {longest:.1f} s and silent for {silence:.1f} s at most\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
