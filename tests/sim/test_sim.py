"""The handoff, explored within small bounds: no two copies, none lost, always a way to settle.

`make sim` explores more, and walks at random when asked.
"""

import pytest

from tests.sim.explore import Exploration
from tests.sim.rules import Rules
from tests.sim.walk import walk
from tests.sim.world import Bounds, World


@pytest.mark.parametrize(
    ("bounds", "at_least"),
    [(Bounds(crashes=1, journals=0), 100_000), (Bounds(crashes=0, journals=1), 150_000)],
)
def test_no_state_breaks_a_rule_and_from_each_there_is_a_way_to_settle(
    bounds: Bounds, at_least: int
) -> None:
    findings = Exploration(World(Rules(), bounds)).run()
    assert not findings.flaw, str(findings)
    assert findings.states > at_least  # a model that cannot move proves nothing


def test_without_a_fault_the_destination_comes_to_run_the_guest() -> None:
    world = World(Rules(), Bounds(crashes=0, journals=0))
    seen, todo = {world.first}, [world.first]
    while todo:
        for after in world.successors(todo.pop(), faults=False):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    ends = [world.nodes(state) for state in seen if world.is_settled(state)]
    assert {here.journal for here, _ in ends} == {"RELEASED", "ABORTED", "RECLAIMED"}


def test_random_walks_with_many_faults_find_nothing_and_are_the_same_for_a_seed() -> None:
    findings = walk(Rules(), seed=1, minutes=0.02)
    assert not findings.flaw, str(findings)
