"""Every state within the bounds, breadth first: no violation, and from each a way to settle."""

from dataclasses import dataclass, field

from tests.sim.world import NET, NET_AT, World


@dataclass
class Findings:
    """What an exploration came to."""

    states: int = 0
    flaw: str = ""
    trace: list[str] = field(default_factory=list)  # the shortest way there

    def __str__(self) -> str:
        lines = [f"{number:4}. {label}" for number, label in enumerate(self.trace, 1)]
        return "\n".join([f"VIOLATION: {self.flaw}" if self.flaw else "no violation", *lines])


class Exploration:
    """One breadth-first search."""

    def __init__(self, world: World, max_states: int = 0) -> None:
        self._world = world
        self._max_states = max_states
        self._came_from: dict[int, int] = {world.first: -1}
        self._settles: set[int] = set()

    def run(self) -> Findings:
        """Explore until everything is seen, or the first flaw."""
        world, came_from = self._world, self._came_from
        level = [world.first]
        while level:
            following: list[int] = []
            for state in level:
                for after in world.successors(state):
                    if after not in came_from:
                        came_from[after] = state
                        following.append(after)
            for state in following:
                if flaw := self._flaw(state):
                    return Findings(len(came_from), flaw, self._trace(state))
            level = following
            if self._max_states and len(came_from) > self._max_states:
                break
        return Findings(len(came_from))

    def _flaw(self, state: int) -> str:
        """What is wrong with a state: itself, or that it never settles.

        What settles with nothing under way settles with more, so only that is looked at; losing
        everything is a move, so every state is looked at in that way.
        """
        if flaw := self._world.violation(state):
            return flaw
        if state >> NET_AT & NET or self.can_settle(state):
            return ""
        return "no way to settle, though messages flow"

    def can_settle(self, state: int) -> bool:
        """Whether it can end well without another fault.

        A violation on the way ends it too: run() comes there by itself, and says what it is.
        """
        world, settles = self._world, self._settles
        came_from, stack = {state: -1}, [state]
        while stack:
            last = stack.pop()
            if last in settles or world.is_settled(last) or world.violation(last):
                while last != -1:
                    settles.add(last)
                    last = came_from[last]
                return True
            for after in world.successors(last, faults=False):
                if after not in came_from:
                    came_from[after] = last
                    stack.append(after)
        return False

    def _trace(self, state: int) -> list[str]:
        labels: list[str] = []
        while (before := self._came_from[state]) != -1:
            labels.append(dict(self._world.labelled(before))[state])
            state = before
        return labels[::-1]
