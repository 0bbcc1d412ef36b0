"""Guests that went away from here: none is defined or started here a second time on its disks.

Rules that must not break:
- Once a guest was released to another node, it is here again only when it has come back, when every
  other node has said that it does not have it, or by an operator's word about each silent one.
- Nobody's word counts against a node that says that it has the guest.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from bmigd.errors import NotPossible, Unknown
from bmigd.guests.definition import Definition, parse_toml
from bmigd.journal import Record
from bmigd.migration.elsewhere import Elsewhere, Sighting
from bmigd.migration.handoff import BACK, TAKEN_OVER, SourceState
from bmigd.migration.ledger import Ledger

# Where it was decided who owns the guest; a try that failed says nothing of that.
DECIDED = (
    *(SourceState.LET_GO, SourceState.RELEASED, SourceState.RECLAIMED),
    *TAKEN_OVER,
)
HERE = (*BACK, *TAKEN_OVER)
EVERY_NODE = "every node: it is not there"


def why_not_here(
    record: Record, here: str, sighting: Sighting, not_on: Collection[str]
) -> NotPossible | None:
    """Why a released guest may not be here, None if it may. `not_on`: silent nodes without it."""
    at = datetime.fromtimestamp(record.changed_at, UTC)
    guest, went = record.guest, f"went from {here} to {record.peer} at {at:%Y-%m-%d %H:%M:%S} UTC"
    if sighting.seen_on:
        seen = " and ".join(sighting.seen_on)
        return NotPossible(
            "GUEST_WENT_AWAY",
            f"guest {guest} {went}, and is on {seen}: a second copy would write the same disks",
            f"migrate it to {here}; or stop it and forget it there:"
            f" bmigctl guest undefine {guest} --node {sighting.seen_on[0]}",
            guest=guest,
            location=f"on {seen}",
        )
    unsure = sighting.unsure(not_on)
    if not unsure:
        return None
    words = " ".join(f"--not-on {node}" for node in sorted(sighting.silent_nodes))
    return NotPossible(
        "GUEST_WENT_AWAY",
        f"guest {guest} {went}, and may run there or further on: "
        + "; ".join(f"{node} could not be asked ({why.message})" for node, why in unsure.items()),
        f"bring {' and '.join(unsure)} back; if that will never be, and nothing"
        f" there can run the guest: bmigctl guest recover {guest} --node {here} {words}",
        guest=guest,
        location=f"on {record.peer}, as far as {here} knows",
    )


async def look_for(guest: str, ledger: Ledger, elsewhere: Elsewhere, *also: str) -> Sighting:
    """What the others say. What a node cannot forget of a migration that ended with the guest here
    is no guest.
    """
    sighting = await elsewhere.look(guest, *also)
    records = [await ledger.get(seen.migration_id) for _, seen in sighting.seen]
    return sighting.without([one.id for one in records if one and one.state in HERE])


class Departures:
    """Guests that this node released, and whether they may be here again."""

    def __init__(self, ledger: Ledger, elsewhere: Elsewhere) -> None:
        self._here = elsewhere.here
        self._ledger = ledger
        self._elsewhere = elsewhere

    async def require_not_away(self, guest: str) -> Sighting:
        """What the others say; NotPossible (GUEST_WENT_AWAY) if it may be on another node since it
        left this one.

        What was settled once is not asked for again: then only a node that has it objects.
        """
        record = await self._released(guest)
        if record is None:
            return await self._look(guest)
        settled = await self._ledger.is_resolved(record.id)
        sighting = await self._look(guest, record.peer)  # it may have gone on from there
        objection = why_not_here(
            record, self._here, sighting, sighting.silent_nodes if settled else ()
        )
        if objection:
            raise objection
        if not settled:
            await self._ledger.note_resolution(record.id, EVERY_NODE)
        return sighting

    async def recover(self, guest: str, not_on: Collection[str], operator: str) -> Definition:
        """The guest as it left, for an operator who says which silent nodes do not have it.

        NotPossible (GUEST_WENT_AWAY); Unknown (GUEST_UNKNOWN) if it did not leave from here.
        """
        record = await self._released(guest)
        if record is None:
            raise Unknown(
                "GUEST_UNKNOWN",
                f"no guest {guest} went away from {self._here}",
                f"bmigctl list --guest {guest} tells which node it left last",
                guest=guest,
            )
        sighting = await self._look(guest, record.peer)
        if objection := why_not_here(record, self._here, sighting, not_on):
            raise objection
        await self._ledger.note_resolution(record.id, operator)
        return parse_toml(record.definition)

    async def _look(self, guest: str, *also: str) -> Sighting:
        return await look_for(guest, self._ledger, self._elsewhere, *also)

    async def _released(self, guest: str) -> Record | None:
        """What the journal says of its leaving, None if it did not leave or is back."""
        record = await self._ledger.newest(guest, DECIDED)
        return record if record and record.state == SourceState.RELEASED else None
