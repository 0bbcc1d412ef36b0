"""Every migration that this node knows of: those that go on in memory, all of them in history.

Reads see what goes on first, and a migration leaves memory only when its last picture is written,
so none is ever missing in between. A history that cannot be written costs history, nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog

from bmigd.errors import Invalid, Unknown
from bmigd.history import History
from bmigd.journal import Record
from bmigd.migration.handoff import DestinationState, SourceState
from bmigd.migration.phases import Phase
from bmigd.migration.picture import (
    DESTINATION,
    SOURCE,
    Event,
    Failure,
    Options,
    Picture,
    event_from_json,
    picture_from_json,
    to_json,
)
from bmigd.migration.recorder import Recorder, now_ms
from bmigd.unusable import obstacle

log = structlog.get_logger()
T = TypeVar("T")

RESOLVED = "RESOLVED"  # an operator decided, so the guest was started afresh
SHORTEST_BEGINNING = 4  # of an id
MOST_ALIKE = 100  # that begin with it
# The last phase of a migration by its final state.
ENDED_AS: dict[str, Phase] = {
    SourceState.RELEASED: Phase.COMPLETED,
    SourceState.ABORTED: Phase.ABORTED,
    SourceState.RECLAIMED: Phase.ABORTED,
    DestinationState.RUNNING: Phase.COMPLETED,
    DestinationState.REFUSED: Phase.ABORTED,
    DestinationState.RETURNED: Phase.ABORTED,
}


def failure_in(record: Record, node: str) -> Failure | None:
    """What a node's journal alone can tell of why a migration ended as it did."""
    if not record.why:
        return None
    reason, _, message = record.why.partition(": ")
    owner = record.peer if record.side == DESTINATION else node
    location = f"on {owner}"
    if record.state in (DestinationState.RUNNING, DestinationState.STARTED) or reason == RESOLVED:
        location = f"on {node}, started afresh"
    return Failure(reason, message, record.side, location, "see the logs of bmigd on both nodes")


class Archive:
    """Recorders of what goes on, and history. One thread writes and reads history, in order."""

    def __init__(self, node: str, history: History, thread: Executor) -> None:
        self._node = node
        self._history = history
        self._thread = thread
        self._live: dict[str, Recorder] = {}
        self._is_out = False  # the history, of order

    def record(self, picture: Picture, events: list[Event] | None = None) -> Recorder:
        """A recorder for a migration of either side; with the events of before a restart."""
        recorder = Recorder(picture, self, events or [])
        self._live[picture.id] = recorder
        return recorder

    def recorder(self, migration_id: str) -> Recorder:
        """The recorder of a migration that goes on."""
        return self._live[migration_id]

    def begun(self, record: Record) -> Recorder:
        """A recorder for one that ends as soon as its first write is sure; history is not asked."""
        picture = self.picture_of(record)
        picture.phase = Phase.ABORTING
        return self.record(picture)

    async def recall(self, record: Record, phase: Phase) -> Recorder:
        """A recorder that goes on with a journalled migration, whatever history knows of it."""
        found = await self._do(lambda: self._history.find(record.id, 1))
        events = await self._do(lambda: self._history.events(record.id))
        picture = picture_from_json(found[0]) if found else self.picture_of(record)
        picture.phase, picture.ownership = phase, record.state
        picture.progress.waiting_for, picture.progress.rate_bytes_per_s = "", 0
        picture.progress.throttle_percent = 0  # a guest whose daemon ended is not slowed for long
        return self.record(picture, [event_from_json(one) for one in events])

    def picture_of(self, record: Record) -> Picture:
        """What the journal alone can tell."""
        is_source = record.side == SOURCE
        return Picture(
            id=record.id,
            guest=record.guest,
            source=self._node if is_source else record.peer,
            destination=record.peer if is_source else self._node,
            side=record.side,
            epoch=record.epoch,
            requested_by="",
            options=Options(),
            ownership=record.state,
            phase=ENDED_AS.get(record.state, Phase.CHECKING),
            started_at_ms=round(record.began_at * 1000),
        )

    async def close_settled(self, records: list[Record]) -> None:
        """After a restart: end what the journal calls settled, where history missed the end."""
        left_open = await self._do(self._history.open_ids)
        for record in records:
            if record.id not in left_open or record.id in self._live or record.pending:
                continue
            if phase := ENDED_AS.get(record.state):
                before = Phase.HANDOFF if phase is Phase.COMPLETED else Phase.ABORTING
                recorder = await self.recall(record, before)
                node = record.peer if record.side == SOURCE else self._node
                why = record.why or f"the guest runs on {node}"
                ago_ms = max(0, now_ms() - round(1000 * record.changed_at))
                recorder.end(phase, why, failure_in(record, self._node), ago_ms)

    async def find(
        self, beginning: str, wanted: Callable[[str], bool] = lambda guest: True
    ) -> Picture:
        """By id or the beginning of one, among migrations of wanted guests.

        Unknown (MIGRATION_UNKNOWN), Invalid (ID_AMBIGUOUS).
        """
        found: dict[str, Picture] = {}
        beginning = beginning.lower()  # as every id is kept
        if len(beginning) >= SHORTEST_BEGINNING:
            kept = await self._do(lambda: self._history.find(beginning, MOST_ALIKE))
            found = {one["id"]: picture_from_json(one) for one in kept}
            live = {name: one.picture for name, one in self._live.items()}
            found |= {name: one for name, one in live.items() if name.startswith(beginning)}
        found = {name: one for name, one in found.items() if wanted(one.guest)}
        if not found:
            raise Unknown(
                "MIGRATION_UNKNOWN",
                f"{self._node} knows no migration {beginning!r}",
                "bmigctl list shows every migration",
            )
        if len(found) > 1:
            raise Invalid(
                "ID_AMBIGUOUS",
                f"{self._node} knows several migrations that begin with {beginning!r}",
                "give more of the id; bmigctl list shows every migration",
            )
        return next(iter(found.values()))

    async def newest(self, wanted: Callable[[str], bool], limit: int) -> list[Picture]:
        """Migrations of wanted guests, newest first."""
        kept = await self._do(lambda: self._history.newest(wanted, limit))
        pictures = {one["id"]: picture_from_json(one) for one in kept}
        pictures |= {
            name: one.picture for name, one in self._live.items() if wanted(one.picture.guest)
        }
        newest = sorted(pictures.values(), key=lambda picture: -picture.started_at_ms)
        return newest[:limit]

    async def watch(self, migration_id: str, after: int) -> AsyncIterator[Event]:
        """Events of a migration by its whole id, until it has ended."""
        recorder = self._live.get(migration_id)
        if recorder:
            async for event in recorder.watch(after):
                yield event
            return
        for content in await self._do(lambda: self._history.events(migration_id)):
            event = event_from_json(content)
            if event.sequence > after:
                yield event

    def keep_event(self, migration_id: str, event: Event) -> None:
        """Write an event, in its turn."""
        content = to_json(event)
        self._later(lambda: self._history.add_event(migration_id, event.sequence, content))

    def keep_picture(self, picture: Picture) -> None:
        """Write a picture, in its turn; the last one lets the migration leave memory."""
        content = to_json(picture)

        def save() -> None:
            self._history.save(picture.id, picture.guest, picture.started_at_ms, content)

        self._later(save, forget=picture.id if picture.has_ended else "")

    def _later(self, write: Callable[[], None], *, forget: str = "") -> None:
        writing = asyncio.get_running_loop().run_in_executor(self._thread, write)

        def done(future: "asyncio.Future[None]") -> None:
            self._tell_outage(future.exception())
            if forget and not future.exception():
                self._live.pop(forget, None)

        writing.add_done_callback(done)

    def _tell_outage(self, error: BaseException | None) -> None:
        """Once, when the disk takes no more; and when it does again."""
        if error and not self._is_out:
            why = obstacle(error) if isinstance(error, Exception) else ""
            advice = "reports are incomplete, guests are as they were: mend the disk of state_dir"
            log.error("history not written", node=self._node, why=why or str(error), advice=advice)
        if self._is_out and not error:
            log.info("history is written again", node=self._node)
        self._is_out = error is not None

    async def _do(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
