"""The sequence of a migration in docs/PROTOCOL.md, which is drawn by hand, names calls of the
contract, states in an order that the tables of the handoff know, and its steps in their order.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from bmig.v1 import migration_pb2, peer_pb2
from google.protobuf.descriptor import ServiceDescriptor

from bmigd.migration.handoff import DESTINATION, SOURCE, DestinationState, Outcome, SourceState
from bmigd.migration.steps import DESTINATION_STEPS, SOURCE_STEPS, Step
from docs import diagrams

FOUND = re.search(
    r"```mermaid\nsequenceDiagram\n(.*?)```",
    diagrams.PROTOCOL.read_text(encoding="utf-8"),
    re.DOTALL,
)
SEQUENCE = FOUND[1] if FOUND else ""
HANDOFF = SEQUENCE[SEQUENCE.find("Note over S: journals LET_GO") :]
CALLS: dict[str, ServiceDescriptor] = {
    "O->>S": migration_pb2.DESCRIPTOR.services_by_name["MigrationService"],
    "S->>D": peer_pb2.DESCRIPTOR.services_by_name["PeerService"],
}
WORDS = {f"{step.name.partition('_')[0].lower()}s": step for step in Step}  # "journals", "drops"

Done = tuple[Step, str]  # and the state that was journalled, or ""


class Side(NamedTuple):
    """What the tables say of one side."""

    states: type[StrEnum]
    moves: Mapping[Any, Mapping[Any, StrEnum]]
    steps: Mapping[Any, tuple[Step, ...]]

    def done_on(self, path: list[StrEnum]) -> Iterator[Done]:
        """Every step of the way through these states."""
        for before, after in pairwise(path):
            event = next(one for one, to in self.moves[before].items() if to == after)
            yield from ((one, after if one is Step.JOURNAL else "") for one in self.steps[event])


SIDES = {
    "S": Side(SourceState, SOURCE, SOURCE_STEPS),
    "D": Side(DestinationState, DESTINATION, DESTINATION_STEPS),
}


def told(side: str, text: str) -> list[str]:
    """What a side is said to do by itself, one thing after the other."""
    notes = re.findall(rf"Note over {side}: (.*)", text)
    return [thing for note in notes for thing in note.split(", ")]


def journalled(side: str, text: str) -> list[str]:
    """The states that a side is said to journal, in order."""
    things = [thing.removeprefix("journals ") for thing in told(side, text)]
    return [thing for thing in things if thing.isupper()]


def done(side: str, text: str) -> Iterator[Done]:
    """The same as steps, where all of it is one; KeyError for a word that is none."""
    for thing in told(side, text):
        word, _, rest = thing.partition(" ")
        step = Step.JOURNAL if thing.isupper() else WORDS[word]  # "journals TAKEN, STARTED"
        yield step, (rest or word) if step is Step.JOURNAL else ""


def test_every_call_is_one_of_the_contract() -> None:
    calls = re.findall(r"(\w+->>\w+): (\w+)", SEQUENCE)
    assert len(calls) > 5
    assert [one for one in calls if one[1] not in CALLS[one[0]].methods_by_name] == []


def test_an_answer_in_capitals_is_an_outcome() -> None:
    answers = re.findall(r"D-->>S: ([A-Z_]+)$", SEQUENCE, re.MULTILINE)
    assert answers
    assert [one for one in answers if one not in Outcome.__members__] == []


@pytest.mark.parametrize("name", SIDES)
def test_the_states_of_each_side_are_a_way_from_its_first_to_a_last_one(name: str) -> None:
    side, words = SIDES[name], journalled(name, SEQUENCE)
    assert [word for word in words if word not in list(side.states)] == []
    path = [side.states(word) for word in words]
    later = {to for row in side.moves.values() for to in row.values()}
    assert path[0] not in later
    assert [(a, b) for a, b in pairwise(path) if b not in side.moves[a].values()] == []
    assert not side.moves[path[-1]]


@pytest.mark.parametrize("name", SIDES)
def test_the_handoff_is_told_in_steps_in_their_order(name: str) -> None:
    side = SIDES[name]
    steps = side.done_on([side.states(word) for word in journalled(name, SEQUENCE)])
    things = list(done(name, HANDOFF))
    assert len(things) > 2
    # Some are left out; `in` takes from the iterator, so what is told must come in their order.
    assert [one for one in things if one not in steps] == []
