"""What a destination answers of a journalled migration, and to whom."""

from collections.abc import Sequence

from bmigd.errors import Busy, Denied, Invalid
from bmigd.journal import Record
from bmigd.migration.archive import failure_in
from bmigd.migration.handoff import DestinationState, Outcome, answer
from bmigd.migration.picture import DESTINATION, Failure, Part
from bmigd.migration.ports import Answer

REMEMBERED = 64  # reasons of refused receptions


class Refusals:
    """Why the latest few receptions were refused, for sources that have missed the first answer."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, Failure]] = {}  # source and why

    def note(self, record: Record, failure: Failure) -> None:
        """A reception ended so."""
        self._latest[record.id] = record.peer, failure
        for oldest in list(self._latest)[:-REMEMBERED]:
            del self._latest[oldest]

    def why_over(self, migration_id: str, source: str) -> Busy:
        """What that source is told of a migration that is not under way."""
        owner, failure = self._latest.get(migration_id, ("", None))
        if failure and owner == source:
            return refusal(failure)
        return Busy("MIGRATION_OVER", f"migration {migration_id} is not under way here")


def refusal(failure: Failure, guest: str = "") -> Busy:
    """What a source is told of a migration that ended so."""
    why = (failure.reason, failure.message, failure.advice)
    return Busy(*why, guest=guest, side=DESTINATION)


def over(record: Record, node: str) -> Busy:
    """What a source is told that invites a guest to a migration that has ended on that node."""
    if failure := failure_in(record, node):
        return refusal(failure)
    words = f"migration {record.id} is {record.state} here"
    return Busy("MIGRATION_OVER", words, "start a new migration")


def require_owner(record: Record, epoch: int, source: str) -> None:
    """Denied (WRONG_PEER), Invalid (STALE_EPOCH)."""
    if record.peer != source or record.side != DESTINATION:
        raise Denied("WRONG_PEER", f"migration {record.id} does not belong to {source}")
    if record.epoch != epoch:
        raise Invalid(
            "STALE_EPOCH",
            f"migration {record.id} has epoch {record.epoch}, not {epoch}",
            "nothing: the message is of an earlier or another handoff",
        )


def answer_of(
    record: Record,
    failure: Failure | None,
    parts: Sequence[Part] = (),
    running_for_us: int = 0,
) -> Answer:
    """What is said of a migration in its journalled state."""
    outcome = answer(DestinationState(record.state))
    is_running = outcome is Outcome.RUNNING
    return Answer(outcome, tuple(parts), failure, running_for_us if is_running else 0)
