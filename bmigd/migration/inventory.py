"""This node's guests as operators see them, and what may be done with them outside migrations.

A guest that is part of a migration is neither started, stopped nor forgotten: its owner may be
another node.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import structlog

from bmigd import host
from bmigd.drivers.base import Power
from bmigd.errors import BmigError, LocalFault, NotPossible, Unknown
from bmigd.guests.definition import Definition, parse_toml
from bmigd.guests.state import GuestState
from bmigd.journal import Record
from bmigd.migration.departed import Departures
from bmigd.migration.elsewhere import why_not_defined, why_not_started
from bmigd.migration.handoff import BACK, SourceState
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION
from bmigd.prechecks.facts import mib

log = structlog.get_logger()

STOPPED, STARTED, DEFINED, RECOVERED = "stopped", "started", "defined", "recovered"  # by hand
NEW = (DEFINED, RECOVERED)
MOST_GUESTS = 4096
AT_ONCE = 16  # looked at
SEEN_S = 2.0
SILENT = f"the process that owns it did not answer within {SEEN_S:g} s"
HELD = "held by an operator: `bmigctl guest start` lets it go on"


@dataclass(frozen=True)
class GuestView:
    """A guest of this node; without a definition where that cannot be read."""

    name: str
    definition: Definition | None
    state: GuestState
    epoch: int
    migration_id: str = ""
    peer: str = ""  # the other node of that migration
    pid: int = 0
    detail: str = ""


class Inventory:
    """The guests of this node."""

    def __init__(self, node: Node, ledger: Ledger, departures: Departures) -> None:
        self._node = node
        self._ledger = ledger
        self._departures = departures
        # Weak: a lock is gone with the last who waits for it, whatever names are asked for.
        self._changing = WeakValueDictionary[str, asyncio.Lock]()

    async def all(
        self, wanted: Callable[[str], bool] = lambda name: True
    ) -> AsyncIterator[GuestView]:
        """Every guest of a wanted name that is defined or being received here, by name.

        Some at once are looked at when they are asked for: a caller may have enough before.
        """
        names = sorted(filter(wanted, {*self._node.store.names(), *self._node.claims.held()}))
        for begin in range(0, len(names), AT_ONCE):
            some = map(self._seen, names[begin : begin + AT_ONCE])
            for view in filter(None, await asyncio.gather(*some)):
                yield view

    async def _seen(self, name: str) -> GuestView | None:
        """A guest whose file cannot be read is one too, and one that does not answer hides no
        other; None for one that is gone.
        """
        detail = SILENT
        try:
            async with asyncio.timeout(SEEN_S):
                return await self.get(name)
        except TimeoutError:
            log.warning("guest silent", guest=name, node=self._node.name, why=SILENT)
        except Unknown:
            return None
        except BmigError as error:
            detail = str(error)
        return GuestView(name, None, GuestState.FAILED, 0, detail=detail)

    async def get(self, name: str) -> GuestView:
        """One guest that is defined or being received here; Unknown (GUEST_UNKNOWN)."""
        if incoming := await self._incoming(name):
            return incoming
        change = self._node.claims.change(name)
        if change in NEW and name not in self._node.store.names():  # so that others hear of it
            return GuestView(name, None, GuestState.STOPPED, 0, detail=f"being {change}")
        definition = self._node.store.get(name)
        power = await self._node.driver(definition).power(name)
        held = self._node.claims.holder(name)
        record = await self._ledger.get(held) if held else None
        state, detail = _state(record, power, is_back=self._node.claims.is_back(name))
        if change == STARTED and state is GuestState.STOPPED:
            state = GuestState.STARTING
        epoch = await self._ledger.epoch(definition)
        peer = record.peer if record else ""
        return GuestView(name, definition, state, epoch, held, peer, power.pid, detail)

    async def define(self, definition: Definition, not_on: Collection[str] = ()) -> GuestView:
        """Keep a new guest; idempotent for an equal one. Silent nodes of `not_on` have none.

        NotPossible (GUEST_WENT_AWAY, NAME_NOT_SURE), Taken (NAME_TAKEN).
        """
        name, here = definition.name, self._node.name
        async with self._lock(name):
            self._require_supported(definition)
            with self._node.claims.by_hand(name, DEFINED):
                sighting = await self._departures.require_not_away(name)
                names = self._node.store.names()
                if name not in names:
                    self._require_few(len(names))
                    if objection := why_not_defined(name, here, sighting, not_on):
                        raise objection
                await asyncio.to_thread(self._node.store.add, definition)
        view = await self.get(name)
        try:
            missing = ", ".join(await self._node.files.missing(definition))
        except LocalFault as error:  # it is defined all the same
            return replace(view, detail=error.message)
        return replace(view, detail=f"not there yet: {missing}") if missing else view

    async def recover(self, name: str, not_on: Collection[str], operator: str) -> GuestView:
        """Keep a guest that went away as it was when it left, by an operator's word."""
        async with self._lock(name):
            with self._node.claims.by_hand(name, RECOVERED):
                definition = await self._departures.recover(name, not_on, operator)
                self._require_supported(definition)
                await asyncio.to_thread(self._node.store.add, definition)
        return await self.get(name)

    async def undefine(self, name: str) -> None:
        """Forget a stopped guest."""
        async with self._lock(name):
            with self._node.claims.by_hand(name, "undefined"):
                view = await self.get(name)
                assert view.definition
                driver = self._node.driver(view.definition)
                self._require_down(view, await driver.power(name))
                await driver.stop(view.definition, True, 0)
                await asyncio.to_thread(self._node.store.remove, name)

    def _require_down(self, view: GuestView, power: Power) -> None:
        """NotPossible (GUEST_RUNNING) for a guest that runs, or may."""
        if view.state is not GuestState.RUNNING and not power.is_unwatched:
            return
        by_force = "--force " if power.is_unwatched else ""
        raise NotPossible(
            "GUEST_RUNNING",
            f"guest {view.name} may run: {power.failed}"
            if power.failed
            else f"guest {view.name} runs",
            f"stop it first: bmigctl guest stop {by_force}{view.name}",
            guest=view.name,
            location=f"running on {self._node.name}",
        )

    async def start(self, name: str) -> GuestView:
        """Start a guest from its firmware; idempotent.

        NotPossible (GUEST_WENT_AWAY, GUEST_RUNS_ELSEWHERE, FILE_MISSING, NO_MEMORY).
        """
        self._require_not_stopping(name)
        async with self._lock(name):
            definition = self._definition(name)
            self._require_supported(definition)
            with self._node.claims.by_hand(name, STARTED):
                if not (await self._node.driver(definition).power(name)).is_running:
                    sighting = await self._departures.require_not_away(name)
                    if objection := why_not_started(name, self._node.name, sighting):
                        raise objection
                    if sighting.silent:  # who may have it all the same
                        nodes = sorted(sighting.silent_nodes)
                        log.warning("started, and not all were asked", guest=name, silent=nodes)
                    await self._require_startable(definition)
                await self._node.driver(definition).start(definition)
        return await self.get(name)

    async def stop(self, name: str, force: bool, timeout_s: float) -> GuestView:
        """Stop a guest; idempotent. By force also while somebody waits for it to stop by itself."""
        definition = self._definition(name)
        driver = self._node.driver(definition)
        if not force:
            self._require_not_stopping(name)
        elif self._node.claims.change(name) == STOPPED:
            await driver.stop(definition, True, timeout_s)
            return await self.get(name)
        async with self._lock(name):
            with self._node.claims.by_hand(name, STOPPED):
                await driver.stop(definition, force, timeout_s)
        return await self.get(name)

    async def _require_startable(self, definition: Definition) -> None:
        """NotPossible (FILE_MISSING, NO_MEMORY) for what could not even begin."""
        name, here = definition.name, self._node.name
        missing: list[str] = []
        with contextlib.suppress(LocalFault):  # a storage that is silent: the driver finds out
            missing = await self._node.files.missing(definition)
        if missing:
            words = f"guest {name} needs {', '.join(missing)}, which {here} does not have"
            advice = "put it there, or correct the description"
            raise NotPossible("FILE_MISSING", words, advice, guest=name)
        _, total_bytes = await asyncio.to_thread(host.memory_bytes)
        if definition.memory_bytes > total_bytes:
            words = f"guest {name} has {mib(definition.memory_bytes)}, {here} {mib(total_bytes)}"
            raise NotPossible("NO_MEMORY", words, "give the guest less memory", guest=name)

    def _require_not_stopping(self, name: str) -> None:
        """Busy (GUEST_BUSY) where somebody waits for the guest to stop, for an hour perhaps."""
        if self._node.claims.change(name) == STOPPED:
            self._node.claims.require_free(name)

    def _require_few(self, count: int) -> None:
        if count >= MOST_GUESTS:
            here = self._node.name
            words = f"{here} has {MOST_GUESTS} guests, and takes no more"
            raise NotPossible("TOO_MANY_GUESTS", words, f"undefine some on {here}")

    def _require_supported(self, definition: Definition) -> None:
        """What this node or its driver cannot do, or lets no guest do, is refused by name."""
        objections = self._node.objections(definition)
        config = self._node.config
        missing = [f"storage {s}" for s, _ in definition.disks if s not in config.storage]
        missing += [f"network {n}" for n in definition.networks if n not in config.networks]
        if missing:
            raise NotPossible(
                "NOT_CONFIGURED",
                f"guest {definition.name} needs {', '.join(missing)}, which {self._node.name}"
                " does not have",
                "name it in [storage] or [networks] of the node's configuration",
                guest=definition.name,
            )
        if objections:
            raise NotPossible(
                "GUEST_NOT_MIGRATABLE",
                f"{self._node.name} does not take guest {definition.name}: "
                + "; ".join(objections),
                "change its description and define it again; docs/SECURITY.md tells what is taken",
                guest=definition.name,
            )

    async def _incoming(self, name: str) -> GuestView | None:
        """One that is not defined here yet."""
        held = self._node.claims.holder(name)
        record = await self._ledger.get(held) if held else None
        is_coming = record is not None and record.side == DESTINATION and record.definition
        if not record or not is_coming or name in self._node.store.names():
            return None
        detail = f"being received from {record.peer}"
        view = (name, parse_toml(record.definition), GuestState.MIGRATING_IN)
        return GuestView(*view, record.epoch, record.id, record.peer, detail=detail)

    def _definition(self, name: str) -> Definition:
        """Of a guest that is to be changed: Unknown (GUEST_UNKNOWN), or Busy (GUEST_BUSY) if it is
        only being received.
        """
        if name not in self._node.store.names():
            self._node.claims.require_free(name)
        return self._node.store.get(name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._changing.setdefault(name, asyncio.Lock())


def _state(record: Record | None, power: Power, *, is_back: bool) -> tuple[GuestState, str]:
    """Pure: a guest's state from its migration and its hypervisor."""
    if record is not None and not is_back and record.state not in BACK:
        return _moving(record, power)
    words = f"migration {record.id} has ended here, which is yet to be written" if record else ""
    if power.is_running:
        return GuestState.RUNNING, words or (HELD if power.is_paused else "")
    if power.failed:
        return GuestState.FAILED, power.failed
    return GuestState.STOPPED, words


def _moving(record: Record, power: Power) -> tuple[GuestState, str]:
    """Pure: of a guest that is not settled here."""
    peer = record.peer
    if record.side == DESTINATION:
        words = f"it came from {peer}, which is yet to be written"
        return GuestState.MIGRATING_IN, words if power.is_running else f"coming from {peer}"
    if record.state == SourceState.LET_GO:
        return GuestState.IN_DOUBT, f"let go to {peer}; its state is kept here"
    if record.state == SourceState.RELEASED:
        return GuestState.MIGRATING_OUT, f"it is {peer}'s; what is left of it here is dropped"
    if not power.is_running:
        return GuestState.SUSPENDED, f"down while it moves to {peer}"
    return GuestState.MIGRATING_OUT, f"being copied to {peer}"
