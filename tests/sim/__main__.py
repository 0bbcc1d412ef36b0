"""`python -m tests.sim`: every state within the bounds, then every mutation; or --random.

Exit status 0 if nothing is wrong and every mutation is caught, else 1.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.sim.explore import Exploration, Findings
from tests.sim.mutations import MUTATIONS
from tests.sim.rules import Rules
from tests.sim.walk import walk
from tests.sim.world import Bounds, World

FULL = (Bounds(crashes=4, journals=0), Bounds(crashes=2, journals=1))


def explore(bounds: Bounds) -> tuple[Findings, tuple[int, int], float]:
    """Every state within bounds."""
    began = time.monotonic()
    world = World(Rules(), bounds)
    findings = Exploration(world).run()
    return findings, world.node_counts(), time.monotonic() - began


def caught(number: int) -> tuple[str, Findings]:
    """What one mutation comes to: "" if it was caught, and how."""
    mutation = MUTATIONS[number]
    findings = Exploration(World(mutation.rules, mutation.bounds)).run()
    return "" if findings.flaw == mutation.flaw else f"NOT CAUGHT: {mutation.flaw}", findings


def exhaustive(say: Callable[[str], None], workers: int) -> bool:
    """Everything; whether all is well."""
    is_well, states = True, 0
    with ProcessPoolExecutor(workers) as pool:
        explored = [pool.submit(explore, bounds) for bounds in FULL]
        broken = [pool.submit(caught, number) for number in range(len(MUTATIONS))]
        for bounds, future in zip(FULL, explored, strict=True):
            findings, (here, there), took_s = future.result()
            states += findings.states
            is_well = is_well and not findings.flaw
            say(
                f"{findings.states:,} states in {took_s:.0f} s: {bounds.crashes} crashes,"
                f" {bounds.journals} journals lost or old; {here} states of a source,"
                f" {there} of a destination. {findings}"
            )
        for mutation, attempt in zip(MUTATIONS, broken, strict=True):
            missed, found = attempt.result()
            is_well = is_well and not missed
            say(
                f"rule {mutation.rule}, broken: {mutation.name}"
                f"\n  {missed or 'caught'}: {found.flaw} ({len(found.trace)} steps)"
            )
    say(f"{states:,} states explored; {len(MUTATIONS)} mutations")
    return is_well


def at_random(say: Callable[[str], None], seed: int, minutes: float) -> bool:
    """Random walks; whether all is well."""
    say(f"random walks for {minutes:g} min, seed {seed}")
    findings = walk(Rules(), seed, minutes)
    say(f"{findings.states:,} steps. {findings}")
    return not findings.flaw


def main(arguments: Iterable[str]) -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--random", action="store_true", help="walk at random instead")
    parser.add_argument("--seed", type=int, help="of the walks; printed in any case")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to walk (1)")
    parser.add_argument("--workers", type=int, default=2, help="processes to explore with (2)")
    options = parser.parse_args(list(arguments))

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    if options.random:
        seed = secrets.randbits(32) if options.seed is None else options.seed
        return int(not at_random(say, seed, options.minutes))
    return int(not exhaustive(say, options.workers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
