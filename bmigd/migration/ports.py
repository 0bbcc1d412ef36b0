"""What a migration needs of the other node, as values and one Protocol. rpc/ implements it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bmigd.drivers.base import Region, StateFile
from bmigd.guests.definition import Definition
from bmigd.guests.state import Seen
from bmigd.migration.handoff import Outcome
from bmigd.migration.picture import Failure, Part
from bmigd.prechecks.facts import Facts
from bmigd.security.probe import Explanation
from bmigd.transfer.lane import ChunkStream

PROTOCOL_VERSIONS = (1,)


@dataclass(frozen=True)
class Inquiry:
    """What the source tells before a migration."""

    definition: Definition
    requested_by: str
    protocol_versions: tuple[int, ...]
    probe_name: str
    firmware: tuple[tuple[str, str], ...]  # path and SHA-256, to be compared there


@dataclass(frozen=True)
class Invitation:
    """The source asks the destination to receive a guest."""

    migration_id: str
    epoch: int
    definition: Definition
    regions: tuple[Region, ...]
    protocol_version: int
    journal_incarnation: str
    requested_by: str
    hash_seed: int
    driver_build: str
    asks_for_memory: bool  # whether it will ask what the destination still has of the guest
    until_ready: bool = False  # the answer is to come once all is there that the guest will need


@dataclass(frozen=True)
class Welcome:
    """The destination has promised room and prepared."""

    journal_incarnation: str
    lease_s: float
    window_chunks: int
    codecs: frozenset[int]  # that it takes
    most_streams: int  # that may carry the memory at the same time
    has_memory: bool  # it still has some of the guest's: ask describe() before anything is sent


@dataclass(frozen=True)
class Stretch:
    """Hashes of consecutive pages, little-endian, of what the destination has in a region."""

    region: int
    first_page: int
    page_hashes: bytes


@dataclass(frozen=True)
class Delivery:
    """Device state, and the root of all memory as it was sent."""

    migration_id: str
    epoch: int
    memory_root: bytes
    files: Sequence[StateFile]
    verify: bool


@dataclass(frozen=True)
class Receipt:
    """The destination is READY."""

    memory_root: bytes
    parts: tuple[Part, ...]
    spent: tuple[Part, ...]  # on the memory, since the migration began


@dataclass(frozen=True)
class Answer:
    """What the destination's journal says of a handoff."""

    outcome: Outcome
    parts: tuple[Part, ...] = ()
    failure: Failure | None = None
    running_for_us: int = 0  # until this was said; 0: not known


class Peer(Protocol):
    """The destination, as the source calls it. PeerLost, PeerSaidNo or Denied on every call."""

    name: str

    async def exchange(self, inquiry: Inquiry) -> Facts:
        """The destination's facts."""

    async def receive(self, invitation: Invitation) -> Welcome:
        """Reserve and prepare."""

    def describe(self, migration_id: str, epoch: int) -> AsyncIterator[Stretch]:
        """What it has of every region, in order."""

    async def open_stream(self, number: int) -> ChunkStream:
        """One of the streams for chunks, on a connection of its own."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Device state and root."""

    async def commit(self, migration_id: str, epoch: int, incarnation: str) -> Answer:
        """Hand over."""

    async def abort(self, migration_id: str, epoch: int, incarnation: str, why: str) -> Answer:
        """Withdraw."""

    async def query(self, migration_id: str, epoch: int, incarnation: str) -> Answer:
        """What became of it?"""

    async def see_guest(self, name: str) -> Seen | None:
        """What a guest of that name does there, if there is one."""

    async def explain(self, error: Exception) -> Explanation:
        """Why it cannot be reached, found out by trying."""

    async def close(self) -> None:
        """Hang up."""
