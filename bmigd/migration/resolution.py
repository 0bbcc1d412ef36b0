"""An operator's word on a migration in doubt: the other host is gone for good, the guest runs here.

It is refused wherever the journal, or the other node itself, knows what became of the guest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bmigd.errors import BmigError, Invalid, NotPossible, PeerLost
from bmigd.journal import Record
from bmigd.migration import decided
from bmigd.migration.handoff import Outcome, SourceState, why_not_resolve
from bmigd.migration.ledger import Ledger
from bmigd.migration.picture import Picture
from bmigd.migration.ports import Peer


@dataclass(frozen=True)
class Resolution:
    """What one operator wants to decide of one migration."""

    ledger: Ledger
    dial: Callable[[str], Peer]
    picture: Picture
    operator: str

    async def was_taken(self) -> bool:
        """Whether it was decided already."""
        record = await self.ledger.get(self.picture.id)
        return record is not None and record.why.startswith("RESOLVED: ")

    async def require_possible(self, confirm_guest: str) -> Record:
        """Its record; NotPossible (NOT_IN_DOUBT, PEER_ANSWERS), Invalid (CONFIRMATION_WRONG)."""
        record = await self._in_doubt()
        if confirm_guest != record.guest:
            raise Invalid(
                "CONFIRMATION_WRONG", f"the guest of migration {record.id} has another name"
            )
        await self._require_silent(record)
        return record

    async def taken(self) -> Record:
        """Note who decided; the record, which is still in doubt."""
        record = await self._in_doubt()
        await self.ledger.note_resolution(record.id, self.operator)
        return record

    async def _in_doubt(self) -> Record:
        """Its record; NotPossible (NOT_IN_DOUBT) if the journal knows what became of it."""
        picture = self.picture
        record = await self.ledger.get(picture.id)
        if record is None or why_not_resolve(SourceState(record.state), None):
            raise decided.settled(picture)
        return record

    async def _require_silent(self, record: Record) -> None:
        """NotPossible (PEER_ANSWERS) if the other host can be asked: then it must be."""
        peer = self.dial(record.peer)
        try:
            answer = await peer.query(record.id, record.epoch, record.peer_incarnation)
        except PeerLost:
            return
        except BmigError as error:  # whoever answers, whatever it is, is not gone
            raise NotPossible(
                "PEER_ANSWERS",
                f"{record.peer} answers: {error}",
                f"mend that; the migration settles itself when {record.peer} can tell what became"
                " of the guest",
                guest=record.guest,
                location=_kept(record),
            ) from error
        finally:
            await peer.close()
        if why_not_resolve(SourceState(record.state), answer.outcome):
            raise NotPossible(
                "PEER_ANSWERS",
                f"{record.peer} answers ({answer.outcome.name}): it will be settled without you",
                "wait; bmigctl show tells when it is settled",
                guest=record.guest,
                location=_kept(record, answer.outcome),
            )


def _kept(record: Record, said: Outcome | None = None) -> str:
    """Where the guest is as long as it is in doubt."""
    match said:
        case Outcome.RUNNING:
            return f"on {record.peer}"
        case Outcome.REFUSED | Outcome.RETURNED:
            return f"kept here, and not on {record.peer}"
    return f"kept here, and perhaps on {record.peer}"
