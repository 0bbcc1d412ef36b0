"""What every hypervisor driver promises. The comments are the contract; tests/drivers/contract.py
holds every driver to it.

A driver knows nothing of migrations, peers or journals: it starts, stops, shows memory, suspends,
restores. Who may run a guest when is decided above.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bmigd.chunk import Bytes
from bmigd.guests.definition import Definition

THROTTLE_S = 3.0  # that a guest stays slowed down if nobody asks for it again


@dataclass(frozen=True)
class Region:
    """A stretch of guest memory."""

    name: str
    guest_address_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class DriverFacts:
    """A driver on this node, for prechecks."""

    name: str
    build: str = ""  # equal on both ends, or device state cannot be trusted
    can_snapshot: bool = False
    problem: str = ""  # why not, in words
    devices: tuple[str, ...] = ()  # emulations whose state it saves
    can_throttle: bool = False


@dataclass(frozen=True)
class StateFile:
    """A file of device state, kept by the driver until release()."""

    name: str
    path: Path


@dataclass(frozen=True)
class Power:
    """What a guest's hypervisor is doing."""

    is_running: bool  # its hypervisor has it and may run it; not while it is suspended
    pid: int = 0
    restarts: int = 0  # reboots of the guest since it was started
    failed: str = ""  # how the hypervisor ended, when it ended with an error
    is_paused: bool = False  # running, but held by an operator: it stays so when it moves
    is_unwatched: bool = False  # it may run, and the process that owned it has ended
    ran_at_s: float = 0.0  # it surely ran from then on, by the monotonic clock; 0: not known


class Memory(Protocol):
    """Guest memory, mapped. Close it after the last view is dropped."""

    regions: tuple[Region, ...]

    def view(self, region: int) -> memoryview:
        """All bytes of a region."""

    def populated(self, region: int) -> list[tuple[int, int]]:
        """Offset and length in bytes of what may be other than zero, ascending.

        Memory that a guest never touched costs the host nothing until somebody reads it.
        """

    def shared(self) -> tuple[int, list[int]]:
        """For another process to map it: a descriptor, this object's, and where each region is."""

    def close(self) -> None:
        """Unmap. Idempotent."""


class DirtyLog(Protocol):
    """Which memory a running guest writes, to the page. The guest is slower while it is kept.

    It must see every write: by vCPUs, by emulated devices, and by whatever else there is. Where
    something could write, or discard memory, without being seen, open() refuses.
    """

    async def open(self) -> None:
        """Begin. LocalFault (TRACKER_NOT_AVAILABLE) says why that cannot be."""

    def take(self, region: int) -> list[tuple[int, int]]:
        """Offset and length in bytes of what was written since the last take, ascending.

        Whole pages. What is taken counts as unwritten from before this returns, so a page that is
        read afterwards and written meanwhile is taken again. The first take may leave nothing out
        that was written since open(). Blocks for some ms; LocalFault (TRACKER_LOST).
        """

    async def close(self) -> None:
        """End; the guest is as fast as it was. Idempotent, never raises, for a dead guest too."""


class IncomingMemory(Protocol):
    """Memory of a guest on its way in: all zero at first, written by pieces.

    A full disk or memory is an error (LocalFault), never a signal that ends the daemon.
    """

    regions: tuple[Region, ...]

    def write(self, region: int, offset_bytes: int, content: Bytes) -> None:
        """Write bytes within a region."""

    def read(self, region: int, offset_bytes: int, length_bytes: int) -> bytes:
        """Read bytes within a region."""

    def close(self) -> None:
        """Let the file go."""


@dataclass
class Suspended:
    """A guest that is down: its memory as it will be restored, and its device state.

    The memory may be what open() gave, as long as that is not closed.
    """

    memory: Memory
    files: tuple[StateFile, ...]
    parts_us: dict[str, int] = field(default_factory=dict)  # what the downtime went to
    ran_on_us: int = 0  # from the call of suspend() until the guest was told to stop


@dataclass(frozen=True)
class Witness:
    """What a supervisor saw of a guest that was to be started."""

    supervisor: bool  # there is one: the host did not crash meanwhile
    executed: bool = False  # it was told to execute the hypervisor
    runs: bool = False
    never_ran: bool = False  # the hypervisor exited before it signalled that the guest runs
    starting: bool = False  # the hypervisor is there and has not signalled yet


class OutgoingGuest(Protocol):
    """A guest that may leave this node."""

    async def open(self) -> Memory:
        """The live memory, read-only. The guest runs on."""

    def dirty_log(self) -> DirtyLog | None:
        """A log of what the guest writes, not yet open; None when the driver never keeps one.

        Its regions are those of open(), and of suspend() too: that must give the same memory.
        """

    async def watch(self) -> str:
        """Return when the guest is no longer the one that open() showed: what happened, in words.

        It stopped; or it rebooted, unless memory goes on to be the same mapping.
        """

    async def throttle(self, stopped_percent: int) -> None:
        """Slow the guest down: it is stopped for 0 (not at all) to 99 percent of the time, in turns
        so short that users notice a slow guest and not a dead one.

        For THROTTLE_S, so it is to be asked for again meanwhile: a daemon that dies leaves no slow
        guest. suspend() ends it. LocalFault when it cannot be.
        """

    async def suspend(self, still: Callable[[], None] = lambda: None) -> Suspended:
        """Stop the guest, its state kept in files. After an error call resume().

        `still` is called, once or never, when nothing will change the memory of open() any more
        unless the suspend fails, which may be long before this is over.
        """

    async def resume(self) -> None:
        """Make the guest run here, whatever suspend() came to. Idempotent.

        From its kept state if it was suspended; it is waited for if a suspend is still under way.
        StartFailed when it cannot be brought back; the kept state stays.
        """

    async def release(self, image: Path | None = None) -> None:
        """The guest is another node's: drop kept state and everything else of it. Idempotent.

        Its memory is moved to `image`, in the spool, if that is given and there is any.
        """


class IncomingGuest(Protocol):
    """A guest that may come to this node."""

    async def prepare(self, image: Path | None = None) -> IncomingMemory:
        """Memory for it, all zero.

        Memory is not zero but what release() moved to `image`, which is moved away, if given.
        """

    async def stand_by(self) -> None:
        """Have whatever start() would have to wait for, and all room that it will need.

        Once, after prepare(), beside its memory's arrival; may be cancelled anywhere. discard()
        comes after its end. LocalFault or StartFailed: it will not be started here.
        """

    def state_path(self, name: str) -> Path:
        """Where to put the device state file of that name. BadBytes for a name it does not know."""

    async def check(self) -> None:
        """Check all that can be without running it: BadBytes (STATE_INVALID) or LocalFault."""

    async def start(self) -> None:
        """Run it; return when it runs. StartFailed says whether it surely never ran."""

    async def witness(self) -> "Witness":
        """What the guest's supervisor saw, for a daemon that was restarted."""

    async def accept(self) -> None:
        """It is this node's guest now: drop what it came in. Idempotent."""

    async def discard(self) -> None:
        """Drop everything of it; nothing of it may run. Idempotent."""


class Driver(Protocol):
    """One hypervisor."""

    name: str

    async def facts(self) -> DriverFacts:
        """What it is and can, probed now."""

    def objections(self, definition: Definition) -> list[str]:
        """Why it could not run or not move this guest, in words; empty when it can."""

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        """Estimate of what a switchover costs beside memory transfer, in seconds.

        Of the memory, that many bytes are not zero.
        """

    def hidden_s(self, memory_bytes: int) -> float:
        """The part of it beside which the last pass runs, in seconds."""

    def room(self, definition: Definition) -> tuple[int, int]:
        """Bytes of host memory and of spool that the guest needs on its way in."""

    def kept_bytes(self, definition: Definition) -> int:
        """Bytes of spool that a suspend of the guest takes on the node that it leaves."""

    def regions(self, definition: Definition) -> tuple[Region, ...]:
        """How guest memory is laid out."""

    async def power(self, name: str) -> Power:
        """What the guest's hypervisor is doing."""

    async def start(self, definition: Definition) -> None:
        """Start a stopped guest from its firmware. StartFailed with the hypervisor's words."""

    async def stop(self, definition: Definition, force: bool, timeout_s: float) -> None:
        """Power button, or end it at once. NotPossible (STOP_TIMEOUT) if it ignores the button."""

    def console_directory(self, name: str) -> Path:
        """Directory of the guest's supervisor, whose console can be attached to."""

    def outgoing(self, definition: Definition) -> OutgoingGuest:
        """The guest as one that may leave."""

    def incoming(self, definition: Definition) -> IncomingGuest:
        """The guest as one that may come."""
