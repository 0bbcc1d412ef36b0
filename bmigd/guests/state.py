"""What a guest is doing on a node."""

from dataclasses import dataclass
from enum import IntEnum


class GuestState(IntEnum):
    """Numbered as in the contract."""

    STOPPED = 1
    RUNNING = 2
    MIGRATING_OUT = 3
    MIGRATING_IN = 4
    SUSPENDED = 5
    IN_DOUBT = 6
    FAILED = 7
    STARTING = 8

    @property
    def words(self) -> str:
        """For people."""
        return self.name.lower().replace("_", " ")


OFF = (GuestState.STOPPED, GuestState.FAILED)  # it has no console


@dataclass(frozen=True)
class Seen:
    """What another node says of a guest that it has."""

    state: GuestState
    migration_id: str = ""  # that has it there
