"""A guest on this node, beside what its driver does: watch it, look what became of it, start it.

A look is evidence for handoff.py and decides nothing by itself.
"""

import asyncio
import time
from collections.abc import Collection, Coroutine
from typing import Any

import structlog

from bmigd.drivers.base import IncomingGuest, OutgoingGuest
from bmigd.errors import BmigError, NotPossible, Taken
from bmigd.guests.definition import Definition
from bmigd.guests.state import GuestState
from bmigd.journal import Record
from bmigd.migration.departed import look_for
from bmigd.migration.elsewhere import why_not_settled_here
from bmigd.migration.handoff import DestinationState, Evidence, after_execution
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.recorder import us_since

log = structlog.get_logger()

AFRESH = "started afresh"
_DOWN = ("down on ", "stopped on ")  # how the words for a place begin where nothing runs
LOOK_AGAIN_S = 0.1
LONGEST_START_S = 120.0  # a hypervisor that has not signalled by then may have run the guest
RESTARTED = (
    "GUEST_RESTARTED: it may have run before its hypervisor or the host ended:"
    " it was started again from its disk and its memory is lost"
)


async def look(incoming: IncomingGuest) -> Evidence:
    """What is to be found of a guest that came; waits while its hypervisor is starting."""
    until = time.monotonic() + LONGEST_START_S
    try:
        await incoming.check()
        has_state = True
    except BmigError:
        has_state = False
    while True:
        found = Evidence(has_state, **vars(await incoming.witness()))
        if after_execution(found):
            return found
        if time.monotonic() > until:
            return found._replace(starting=False)
        await asyncio.sleep(LOOK_AGAIN_S)


async def unless_it_stops(
    outgoing: OutgoingGuest, name: str, work: Coroutine[Any, Any, None]
) -> None:
    """Do the work; NotPossible (GUEST_STOPPED) as soon as the guest stops or reboots by itself."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(outgoing.watch())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            raise NotPossible(
                "GUEST_STOPPED",
                f"guest {name} is no longer the one that was being copied: {watching.result()}",
                "migrate it again when it runs",
            )
        await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def start_afresh(
    node: Node,
    ledger: Ledger,
    definition: Definition,
    migration_id: str,
    innocent: Collection[GuestState] | None,
) -> str:
    """Start a guest from its firmware unless it runs, here or elsewhere; where it is then.

    Before whatever ended it here was noticed somebody may have started it on another node: they are
    asked, unless innocent is None, when they have been.
    """
    name, driver = definition.name, node.driver(definition)
    try:
        if not (await driver.power(name)).is_running:
            if innocent is not None:
                sighting = await look_for(name, ledger, node.elsewhere)
                why = why_not_settled_here(name, node.name, sighting, migration_id, innocent)
                if why:
                    raise why
            await driver.start(definition)
    except BmigError as error:
        log.error("guest is down", guest=name, error=str(error))
        return f"{_DOWN[0]}{node.name}: {error}"
    return f"on {node.name}, {AFRESH}"


def left_stopped(node: Node, why: BmigError) -> str:
    """Where a guest is that must not be brought back, in words."""
    return f"{_DOWN[1]}{node.name}: {why}"


def is_down(place: str) -> bool:
    """Whether a guest is where these words say, but does not run."""
    return place.startswith(_DOWN)


async def ran_at_s(node: Node, definition: Definition) -> float:
    """Since when a guest of this node surely runs, by the monotonic clock; 0: not known.

    Its supervisor's word: this daemon may have been stopped when it began.
    """
    try:
        power = await node.driver(definition).power(definition.name)
    except BmigError:
        return 0.0
    return power.ran_at_s if power.is_running else 0.0


async def running_us(node: Node, record: Record) -> int:
    """For how long the guest of a reception has run since it was settled so; 0: not known."""
    if record.state != DestinationState.RUNNING:
        return 0
    try:
        since_s = await ran_at_s(node, node.store.get(record.guest))
    except BmigError:  # it has left, or its definition cannot be read
        return 0
    return us_since(since_s) if since_s else 0


async def keep_definition(node: Node, definition: Definition) -> None:
    """Define a guest that has come here for good; LocalFault when that cannot be written."""
    try:
        await asyncio.to_thread(node.store.add, definition)
    except Taken as error:  # it runs: that is what must be recorded
        log.error("definition not kept", guest=definition.name, error=str(error))
