"""Random walks, far beyond the bounds of an exploration; the same seed takes the same way.

Each walk has its own taste: every event gets a weight for the whole walk, most of them small. So
some walks never see the guest cancelled, and others hardly ever lose a message.
A walk that finds a flaw is shortened before it is told: loops are cut, then every step that is not
needed for the same flaw.
"""

import random
import time
from collections import defaultdict
from itertools import pairwise

from tests.sim.explore import Exploration, Findings
from tests.sim.rules import Rules
from tests.sim.world import NET, NET_AT, Bounds, World

DEEP = Bounds(crashes=40, journals=3)
LENGTH = 200
CHECK_EVERY = 20  # steps between two looks whether it can still settle
TASTE = 5  # the higher, the more events are rare in a walk


def walk(rules: Rules, seed: int, minutes: float) -> Findings:
    """Walk until the time is over or a flaw is found."""
    chance = random.Random(seed)  # noqa: S311 - the way must be the same again
    until, steps, met = time.monotonic() + 60 * minutes, 0, 0
    world = World(rules, DEEP)
    while time.monotonic() < until:
        way = _one(world, chance)
        steps += len(way)
        met += 1
        if flaw := flaw_at_end(world, way):
            return Findings(steps, flaw, _labels(world, shortened(world, way, flaw)))
    return Findings(steps)


def flaw_at_end(world: World, way: list[int]) -> str:
    """What is wrong with the last state."""
    if flaw := world.violation(way[-1]):
        return flaw
    under_way = NET << NET_AT
    settles = Exploration(world).can_settle(way[-1] & ~under_way)
    return "" if settles else "no way to settle, though messages flow"


def shortened(world: World, way: list[int], flaw: str) -> list[int]:
    """A way to the same flaw without what is not needed for it."""
    labels = _labels(world, way)
    at = 0
    while at < len(labels):
        fewer = labels[:at] + labels[at + 1 :]
        replayed = _replayed(world, fewer)
        if replayed and flaw_at_end(world, replayed) == flaw:
            labels, way = fewer, replayed
        else:
            at += 1
    return way


def _one(world: World, chance: random.Random) -> list[int]:
    way = [world.first]
    taste: dict[str, float] = defaultdict(lambda: chance.random() ** TASTE)
    bad_luck = chance.random() ** TASTE
    for count in range(1, LENGTH):
        following = world.labelled(way[-1], faults=chance.random() < bad_luck)
        following = [one for one in following if one[0] != way[-1]]
        if following:
            weights = [taste[label] for _, label in following]
            way.append(chance.choices(following, weights)[0][0])
        if world.violation(way[-1]) or (count % CHECK_EVERY == 0 and flaw_at_end(world, way)):
            break
    return way


def _labels(world: World, way: list[int]) -> list[str]:
    return [dict(world.labelled(state))[after] for state, after in pairwise(way)]


def _replayed(world: World, labels: list[str]) -> list[int]:
    way = [world.first]
    for label in labels:
        following = {name: after for after, name in world.labelled(way[-1])}
        if label not in following:
            return []
        way.append(following[label])
    return way
