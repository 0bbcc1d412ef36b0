"""Both nodes and the network as one number, and what may follow it.

A node's own moves depend on nothing but itself, so they are worked out once and kept; the world is
then only table look-ups. That is what makes millions of states a matter of a minute.
"""

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from bmigd.migration.handoff import Outcome, SourceState
from tests.sim import destination as there
from tests.sim import source as here
from tests.sim.destination import Destination
from tests.sim.invariants import claim_is_true, is_settled, violation
from tests.sim.rules import Rules
from tests.sim.source import Source
from tests.sim.wire import TO_DESTINATION, TO_SOURCE, Message, Move, Price

NODE_BITS, NET_BITS, COUNT_BITS = 16, len(Message), 8
NODES, NET, COUNTS = (1 << NODE_BITS) - 1, (1 << NET_BITS) - 1, (1 << COUNT_BITS) - 1
NET_AT, CRASHES_AT = COUNT_BITS * 2, COUNT_BITS
THERE_AT = NET_AT + NET_BITS
HERE_AT = THERE_AT + NODE_BITS
SPENT = {
    Price.FREE: 0,
    Price.FAULT: 0,
    Price.CRASH: 1 << CRASHES_AT,
    Price.JOURNAL: 1,
}
LOSS = "everything under way is lost"

Node = TypeVar("Node", Source, Destination)


class Bounds(NamedTuple):
    """How much may happen; everything that is not named here may happen without bound."""

    crashes: int
    journals: int


class Step(NamedTuple):
    """A node's move, by numbers."""

    to: int
    says: int
    spent: int
    is_fault: bool
    label: str


Around: TypeAlias = tuple[list[Step], list[tuple[int, list[Step]]]]  # own moves; by what is heard


class Numbered(Generic[Node]):
    """Nodes, numbered as they are met."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Node, int] = {}

    def number(self, node: Node) -> int:
        """Its number."""
        found = self._numbers.setdefault(node, len(self.nodes))
        if found == len(self.nodes):
            assert found <= NODES
            self.nodes.append(node)
        return found

    def steps(self, moves: Iterator[Move[Node]]) -> list[Step]:
        """Moves, by numbers."""
        return [
            Step(self.number(to), int(says), SPENT[price], price is not Price.FREE, label)
            for label, to, says, price in moves
        ]


class World:
    """All that may happen under these rules within these bounds."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self._rules = rules
        self._sources: Numbered[Source] = Numbered()
        self._destinations: Numbered[Destination] = Numbered()
        self._around_here: dict[int, Around] = {}
        self._around_there: dict[int, Around] = {}
        self._resolved: dict[int, list[Step]] = {}
        self._verdicts: dict[int, str] = {}
        self._is_settled: dict[int, bool] = {}
        first = (self._sources.number(Source()), self._destinations.number(Destination()))
        counts = bounds.crashes << CRASHES_AT | bounds.journals
        self.first = first[0] << HERE_AT | first[1] << THERE_AT | counts

    def node_counts(self) -> tuple[int, int]:
        """How many sources and destinations were met."""
        return len(self._sources.nodes), len(self._destinations.nodes)

    def nodes(self, state: int) -> tuple[Source, Destination]:
        """Who they are."""
        return (
            self._sources.nodes[state >> HERE_AT],
            self._destinations.nodes[state >> THERE_AT & NODES],
        )

    def violation(self, state: int) -> str:
        """What is wrong with a state."""
        pair = state >> THERE_AT
        found = self._verdicts.get(pair)
        if found is None:
            found = self._verdicts[pair] = violation(*self.nodes(state))
        return found

    def is_settled(self, state: int) -> bool:
        """Whether it is over."""
        pair = state >> THERE_AT
        found = self._is_settled.get(pair)
        if found is None:
            found = self._is_settled[pair] = is_settled(*self.nodes(state))
        return found

    def successors(self, state: int, faults: bool = True) -> list[int]:
        """Every state that may follow. Without faults: what happens by itself, messages flowing."""
        return [to for to, _ in self._after(state, faults)]

    def labelled(self, state: int, faults: bool = True) -> list[tuple[int, str]]:
        """The same, with words."""
        return [(to, step.label if step else LOSS) for to, step in self._after(state, faults)]

    def _after(self, state: int, faults: bool) -> list[tuple[int, Step | None]]:
        number_here, number_there = state >> HERE_AT, state >> THERE_AT & NODES
        net, counts = state >> NET_AT & NET, state & (1 << NET_AT) - 1
        above, below = number_here << HERE_AT, number_there << THERE_AT
        left = {0: 1, 1: counts & COUNTS, 1 << CRASHES_AT: counts >> CRASHES_AT}
        after: list[tuple[int, Step | None]] = []
        for step in self._here(number_here, number_there, net):
            to, says, spent, is_fault, _ = step
            if left[spent] and (faults or not is_fault):
                rest = (net | says) << NET_AT | counts - spent
                after.append((to << HERE_AT | below | rest, step))
        for step in self._there(number_here, number_there, net):
            to, says, spent, is_fault, _ = step
            if left[spent] and (faults or not is_fault):
                rest = (net | says) << NET_AT | counts - spent
                after.append((above | to << THERE_AT | rest, step))
        if net and faults:
            after.append((above | below | counts, None))
        return after

    def _here(self, number: int, other: int, net: int) -> list[Step]:
        found = self._around_here.get(number)
        if found is None:
            found = self._around_here[number] = self._look_here(number)
        pair = number << NODE_BITS | other
        resolved = self._resolved.get(pair)
        if resolved is None:
            resolved = self._resolved[pair] = self._resolve(number, other)
        return self._chosen(found, net) + resolved

    def _there(self, other: int, number: int, net: int) -> list[Step]:
        asked = self._sources.nodes[other].peer_journal
        found = self._around_there.get(number << 2 | asked)
        if found is None:
            found = self._around_there[number << 2 | asked] = self._look_there(number, asked)
        return self._chosen(found, net)

    @staticmethod
    def _chosen(around: Around, net: int) -> list[Step]:
        steps, heard = around
        for bit, more in heard:
            if net & bit:
                steps = steps + more
        return steps

    def _look_here(self, number: int) -> Around:
        node, steps = self._sources.nodes[number], self._sources.steps
        heard = [(int(one), steps(here.hears(self._rules, node, one))) for one in TO_SOURCE]
        return steps(here.moves(self._rules, node)), [one for one in heard if one[1]]

    def _look_there(self, number: int, asked: int) -> Around:
        node, steps = self._destinations.nodes[number], self._destinations.steps
        heard = [
            (int(one), steps(there.hears(self._rules, node, one, asked))) for one in TO_DESTINATION
        ]
        return steps(there.moves(self._rules, node)), [one for one in heard if one[1]]

    def _resolve(self, number: int, other: int) -> list[Step]:
        """An operator tries: where it is true, and where the nodes themselves must refuse."""
        s, d = self._sources.nodes[number], self._destinations.nodes[other]
        outcome = there.outcome(self._rules, d, s.peer_journal)
        in_doubt = s.journal is SourceState.LET_GO
        if in_doubt and outcome in (None, Outcome.UNKNOWN) and not claim_is_true(s, d):
            return []  # nobody can know better than an operator who lies
        after = here.resolves(self._rules, s, outcome)
        if after is None:
            return []
        move = Move("an operator resolves: the guest runs on the source", after)
        return self._sources.steps(iter([move]))
