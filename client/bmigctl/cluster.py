"""Which nodes there are, and where a guest or a migration is.

Any node may be asked: the configured ones name the others. Rule: a node that cannot be asked
is never taken for one that has nothing; it is named, with the cause.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from bmig.v1 import guest_pb2, migration_pb2, node_pb2

from bmigctl import identity, places
from bmigctl.config import Config
from bmigctl.dial import SURVEY_S, Node
from bmigctl.errors import BmigctlError, Refused, Unreachable, UsageFault

T = TypeVar("T")


@dataclass
class Survey(Generic[T]):
    """What the nodes answered, and which could not."""

    answers: dict[str, T] = field(default_factory=dict)
    failures: dict[str, BmigctlError] = field(default_factory=dict)

    def require_any(self) -> Self:
        """Raises when nobody answered at all."""
        if not self.answers:
            raise _nobody(self.failures)
        return self


@dataclass(frozen=True)
class FoundGuest:
    """A guest and the node that has it; and who could not be asked."""

    node: Node
    guest: guest_pb2.Guest
    failures: Mapping[str, BmigctlError] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundMigration:
    """A migration and its records by node, the source's first; and who could not be asked."""

    records: tuple[tuple[Node, migration_pb2.Migration], ...]
    failures: Mapping[str, BmigctlError] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        """Who is to be asked about it: the source, where that answered."""
        return self.records[0][0]

    @property
    def migration(self) -> migration_pb2.Migration:
        """That node's record."""
        return self.records[0][1]

    @property
    def on_source(self) -> bool:
        """Whether the source's own record is among them."""
        return self.migration.side == migration_pb2.SIDE_SOURCE


class Cluster:
    """The nodes within reach; an async context manager that closes their channels."""

    def __init__(self, config: Config, only: str | None = None, *, diagnoses: bool = True) -> None:
        """Of the nodes, or only one. Looking for why one cannot be called takes seconds."""
        self._config = config
        self._identity = identity.load(config.credentials)
        self._only = only
        self._diagnoses = diagnoses
        self._nodes: dict[str, Node] = {}
        self._learnt: set[str] = set()  # nodes that have told which others they know

    async def __aenter__(self) -> Self:
        for name, address in self._config.nodes.items():
            self._add(name, address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def node(self, name: str) -> Node:
        """The node of that name, asking the others for its address when it is not configured."""
        if name not in self._nodes:
            survey = await self._ask_in_turns(list(self._nodes.values()), self.describe)
            if name not in self._nodes:
                survey.require_any()
                known = ", ".join(sorted(self._nodes))
                raise UsageFault(
                    "NODE_UNKNOWN",
                    f"no node {name}; known: {known}" + _not_asked(survey.failures),
                    advice="bmigctl node list shows every node",
                )
        return self._nodes[name]

    async def survey(self, question: Callable[[Node], Awaitable[T]]) -> Survey[T]:
        """Asks every node at once, those included that the others name."""
        if self._only is not None:
            return await self._ask([await self.node(self._only)], question)
        return await self._ask_in_turns(list(self._nodes.values()), question)

    async def describe(self, node: Node) -> node_pb2.GetNodeResponse:
        """What the node says of itself and of the nodes that it knows."""
        return await node.answer(node.nodes.GetNode(node_pb2.GetNodeRequest(), timeout=SURVEY_S))

    async def find_guest(self, name: str) -> FoundGuest:
        """Where the guest is; raises when it is nowhere, in two places or cannot be known."""
        survey = await self._guests_unless(
            lambda answers: len(places.most_present(name, answers)) > 1
        )
        best = places.most_present(name, survey.answers)
        if not best:
            raise _nowhere("GUEST_UNKNOWN", f"guest {name}", survey).about(
                guest=name, advice="bmigctl guest list shows every guest"
            )
        if len(best) > 1:
            raise places.in_two(name, best)
        [(node, guest)] = best.items()
        return FoundGuest(self._nodes[node], guest, survey.failures)

    async def guests_and_doubles(self) -> tuple[Survey[list[guest_pb2.Guest]], list[Refused]]:
        """Every guest by node, and an error for each that is in two places."""
        survey = await self._guests_unless(lambda answers: bool(places.doubles(answers)))
        return survey.require_any(), places.doubles(survey.answers)

    async def _guests_unless(
        self, is_double: Callable[[dict[str, list[guest_pb2.Guest]]], bool]
    ) -> Survey[list[guest_pb2.Guest]]:
        """Asked again if so: one on the move may have been met on both its nodes."""
        survey = await self.guests()
        return await self.guests() if is_double(survey.answers) else survey

    async def guests(self) -> Survey[list[guest_pb2.Guest]]:
        """Every guest by node."""

        return await self.survey(list_guests)

    async def guests_everywhere(self) -> Survey[list[guest_pb2.Guest]]:
        """The same, not limited to one node."""
        return await self._ask_in_turns(list(self._nodes.values()), list_guests)

    async def find_migration(self, migration_id: str) -> FoundMigration:
        """The one migration whose id begins like that, on every node that took part."""

        async def ask(node: Node) -> migration_pb2.Migration | None:
            request = migration_pb2.GetMigrationRequest(id=migration_id)
            try:
                answer = await node.answer(node.migrations.GetMigration(request, timeout=SURVEY_S))
            except Refused as refusal:
                if refusal.reason in ("MIGRATION_UNKNOWN", "NOT_FOUND"):
                    return None
                raise
            return answer.migration

        survey = await self.survey(ask)
        records = [(self._nodes[name], found) for name, found in survey.answers.items() if found]
        if not records:
            raise _nowhere("MIGRATION_UNKNOWN", f"migration {migration_id}", survey).about(
                advice="bmigctl list shows every migration"
            )
        _require_one(migration_id, {record.id: record.guest for _, record in records})
        records.sort(key=lambda record: record[1].side != migration_pb2.SIDE_SOURCE)
        return FoundMigration(tuple(records), survey.failures)

    async def _ask_in_turns(
        self, nodes: list[Node], question: Callable[[Node], Awaitable[T]]
    ) -> Survey[T]:
        survey: Survey[T] = Survey()
        while nodes:
            before = set(self._nodes)
            learning = asyncio.gather(*(self._learn(node) for node in nodes))
            asked, _ = await asyncio.gather(self._ask(nodes, question), learning)
            survey.answers |= asked.answers
            survey.failures |= asked.failures
            nodes = [node for name, node in self._nodes.items() if name not in before]
        return survey

    async def _ask(
        self, nodes: Iterable[Node], question: Callable[[Node], Awaitable[T]]
    ) -> Survey[T]:
        survey: Survey[T] = Survey()

        async def ask(node: Node) -> None:
            try:
                survey.answers[node.name] = await question(node)
            except BmigctlError as error:
                survey.failures[node.name] = error

        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(ask(node))
        return survey

    async def _learn(self, node: Node) -> None:
        if node.name in self._learnt:
            return
        try:
            answer = await self.describe(node)
        except BmigctlError:
            return  # the question itself meets the same trouble and reports it
        self._learnt.add(node.name)
        for known in answer.known_nodes:
            if known.name not in self._nodes:
                self._add(known.name, known.address)

    def _add(self, name: str, address: str) -> None:
        credentials = self._config.credentials
        self._nodes[name] = Node(
            name, address, credentials, self._identity, diagnoses=self._diagnoses
        )


async def list_guests(node: Node) -> list[guest_pb2.Guest]:
    """Every guest of one node."""
    guests: list[guest_pb2.Guest] = []
    while True:
        after = guests[-1].definition.name if guests else ""
        request = node_pb2.ListGuestsRequest(after=after)
        answer = await node.answer(node.nodes.ListGuests(request, timeout=SURVEY_S))
        guests += answer.guests
        if not (answer.has_more and answer.guests):
            return guests


def _require_one(migration_id: str, found: dict[str, str]) -> None:
    if len(found) > 1:
        several = ", ".join(f"{full} ({guest})" for full, guest in sorted(found.items()))
        raise UsageFault(
            "ID_AMBIGUOUS",
            f"{migration_id} is the beginning of several migrations: {several}",
            advice="write more of the id",
        )


def _not_asked(failures: dict[str, BmigctlError]) -> str:
    if not failures:
        return ""
    causes = "; ".join(error.message for _, error in sorted(failures.items()))
    return f" (not asked: {causes})"


def _nowhere(reason: str, what: str, survey: Survey[T]) -> BmigctlError:
    """Nowhere it was looked for; unknown rather than missing if a node could not be asked."""
    if not survey.failures:
        names = ", ".join(sorted(survey.answers))
        nowhere = "not on" if len(survey.answers) == 1 else "on none of the nodes"
        return Refused(reason, f"{what} is {nowhere} {names}")
    if not survey.answers:
        return _nobody(survey.failures)
    names = ", ".join(sorted(survey.failures))
    return Unreachable(
        reason,
        f"{what} was not found, and {names} could not be asked",
        location="unknown: it may be on a node that could not be asked",
        violations=tuple(error.message for _, error in sorted(survey.failures.items())),
        advice=next(iter(survey.failures.values())).advice,
    )


def _nobody(failures: dict[str, BmigctlError]) -> BmigctlError:
    errors = [error for _, error in sorted(failures.items())]
    if len(errors) == 1 or not any(isinstance(error, Unreachable) for error in errors):
        return errors[0]
    return Unreachable(
        "NO_NODE_REACHABLE",
        f"none of the nodes {', '.join(sorted(failures))} could be asked",
        violations=tuple(error.message for error in errors),
        advice=errors[0].advice,
    )
