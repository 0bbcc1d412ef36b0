"""What a destination answers of a journalled migration, and to whom."""

from bmigd.errors import Denied, Invalid
from bmigd.journal import Record
from bmigd.migration.handoff import DestinationState, answer
from bmigd.migration.picture import DESTINATION, Failure, Part
from bmigd.migration.ports import Answer


def require_owner(record: Record, epoch: int, source: str) -> None:
    """Denied (WRONG_PEER), Invalid (STALE_EPOCH)."""
    if record.peer != source or record.side != DESTINATION:
        raise Denied("WRONG_PEER", f"migration {record.id} does not belong to {source}")
    if record.epoch != epoch:
        raise Invalid("STALE_EPOCH", f"migration {record.id} has epoch {record.epoch}, not {epoch}")


def answer_of(record: Record, failure: Failure | None, parts: list[Part]) -> Answer:
    """What is said of a migration in its journalled state."""
    return Answer(answer(DestinationState(record.state)), tuple(parts), failure)
