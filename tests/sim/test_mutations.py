"""Each rule of the handoff, broken, is noticed: so each is needed, and each is explored."""

import pytest

from bmigd.migration import handoff
from tests.sim.explore import Exploration
from tests.sim.mutations import MUTATIONS, Mutation
from tests.sim.rules import Rules
from tests.sim.walk import walk
from tests.sim.world import Bounds, World


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_caught(mutation: Mutation) -> None:
    findings = Exploration(World(mutation.rules, mutation.bounds)).run()
    assert findings.flaw == mutation.flaw, str(findings)


def test_every_one_of_the_nine_rules_is_broken_by_some_mutation() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(range(1, 10))


def test_a_violation_is_told_as_the_events_that_lead_to_it() -> None:
    (mutation,) = [one for one in MUTATIONS if one.name.startswith("a source that let go gives up")]
    told = str(Exploration(World(mutation.rules, mutation.bounds)).run())
    assert told.startswith("VIOLATION: a source that let go runs the guest by its own decision\n")
    assert "source hears nothing" in told


def test_the_unbroken_rules_are_the_daemons_own() -> None:
    assert Rules().after_let_go is handoff.after_let_go
    assert Rules().after_restart is handoff.after_restart


def test_a_random_walk_catches_a_broken_rule_and_tells_a_short_way_to_it() -> None:
    (mutation,) = [one for one in MUTATIONS if one.name.startswith("a source that let go gives up")]
    findings = walk(mutation.rules, seed=1, minutes=1.0)
    assert findings.flaw == mutation.flaw
    shortest = Exploration(World(mutation.rules, Bounds(crashes=1, journals=0))).run()
    assert len(findings.trace) <= 3 * len(shortest.trace)
