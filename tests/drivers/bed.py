"""What a driver is tried on: nodes of this host, a guest that proves its memory, and faults.

The guest is the demonstration program: each heartbeat on its console has a chain over all that it
ever read, and tests/oracle.py works out what it must be.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

import psutil
import pytest

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.base import (
    Driver,
    IncomingGuest,
    IncomingMemory,
    Memory,
    OutgoingGuest,
    Suspended,
)
from bmigd.errors import LocalFault
from bmigd.guests.definition import Definition
from bmigd.guests.supervision import Supervision
from tests.oracle import Heartbeat, Params, check_heartbeats, parse_heartbeats

T = TypeVar("T")
PATIENCE_S = 20.0
POLL_S = 0.005


class Fault(Enum):
    """What a hypervisor can be made to do wrong."""

    SUSPEND_FAILS = auto()  # after a while it says that it cannot, and the guest goes on
    SUSPEND_IS_SLOW = auto()  # within the driver's patience
    SUSPEND_HANGS = auto()  # until the fault is cleared; then it comes true
    DIES_ON_START = auto()  # before its guest runs
    DIES_ONCE_STARTED = auto()  # just after
    RESTORE_FAILS = auto()


class Node(ABC):
    """A driver with its places on this host."""

    driver: Driver

    def __init__(self, bed: "Bed", name: str) -> None:
        self.bed = bed
        self.directory = bed.directory / name

    @abstractmethod
    def fault(self, *faults: Fault) -> None:
        """Set the guest's faults; none clears them."""

    @abstractmethod
    def files(self) -> list[Path]:
        """Whatever there is of any guest: memory, state, sockets."""

    def left(self) -> list[str]:
        """Files and processes of guests."""
        files = [str(path.relative_to(self.directory)) for path in self.files()]
        return files + [f"process {pid}" for pid in pids_below(self.directory)]

    async def start(self) -> int:
        """Start the guest; how many operations it has done by a heartbeat of it."""
        await self.driver.start(self.bed.definition)
        return await self.beats_on()

    async def beats(self) -> list[Heartbeat]:
        """What the guest printed since its supervisor was made."""
        directory = self.driver.console_directory(self.bed.definition.name)
        try:
            history, _, writer = await Supervision(directory).console()
        except LocalFault:
            return []
        writer.close()
        return parse_heartbeats(history)

    async def beats_on(self, earlier: list[Heartbeat] | None = None, operations: int = 1) -> int:
        """Wait until the guest has done more, and check all that it printed.

        `earlier` heartbeats are another node's.
        """
        before = [*(earlier or []), *await self.beats()]
        last_n = before[-1].n if before else -1

        async def newer() -> list[Heartbeat]:
            beats = [*(earlier or []), *await self.beats()]
            return beats if beats and beats[-1].n >= last_n + operations else []

        beats = await eventually(newer, "a heartbeat")
        check_heartbeats(self.bed.params, beats)
        return beats[-1].n


async def speed(node: Node, for_s: float) -> float:
    """What its guest does by its own count, in operations per second."""
    before, began_s = await node.beats(), time.monotonic()
    await asyncio.sleep(for_s)
    after, took_s = await node.beats(), time.monotonic() - began_s
    return (after[-1].n - before[-1].n) / took_s


class Bed(ABC):
    """Subclass it for a driver."""

    definition: Definition
    params: Params
    tells_stillness: bool  # whether suspend() says that memory stands still before it is over
    hot: tuple[int, int, int]  # region, offset, length of memory that the guest uses all the time
    keeps_log = False  # whether its driver keeps a log of what the guest writes

    def __init__(self) -> None:
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(mkdtemp(prefix="bmig-", dir=base))

    @abstractmethod
    def node(self, name: str, patience_s: float = PATIENCE_S) -> Node:
        """A node; its driver waits so long for a start or a suspend."""

    @abstractmethod
    def image(self) -> Path:
        """The guest's disk, which every node sees."""

    @property
    def sweep(self) -> int:
        """Operations in which the guest uses all of its memory once."""
        return self.params.set_pages

    def close(self) -> None:
        """End what still runs, by its process id."""
        for pid in pids_below(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory)


def pids_below(directory: Path) -> list[int]:
    """Processes that name a directory in their arguments or have files of it mapped."""
    found = []
    for process in psutil.process_iter():
        try:
            texts = [*process.cmdline(), *(part.path for part in process.memory_maps())]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(str(directory) in text for text in texts):
            found.append(process.pid)
    return found


async def eventually(
    probe: Callable[[], Awaitable[T]], what: str, patience_s: float = PATIENCE_S
) -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if answer := await probe():
            return answer
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"no {what} within {patience_s:g} s")


async def nothing_left(*nodes: Node) -> None:
    """Processes that were told to end may be ending."""

    async def is_clean() -> bool:
        return not any(node.left() for node in nodes)

    try:
        await eventually(is_clean, "clean node", 5)
    except AssertionError as error:
        raise AssertionError([node.left() for node in nodes]) from error


def copy_changed(
    memory: Memory, incoming: IncomingMemory, omit: tuple[int, int, int] | None = None
) -> int:
    """Write every page that is different there, but a stretch; how many there were."""
    count = 0
    for number, region in enumerate(memory.regions):
        view = memory.view(number)
        there = incoming.read(number, 0, region.size_bytes)
        for at in range(0, region.size_bytes, PAGE_BYTES):
            page = bytes(view[at : at + PAGE_BYTES])
            is_left_out = omit and omit[0] == number and omit[1] <= at < omit[1] + omit[2]
            if page != there[at : at + PAGE_BYTES] and not is_left_out:
                incoming.write(number, at, page)
                count += 1
    return count


def write_state(suspended: Suspended, guest: IncomingGuest) -> None:
    """Put the files of device state where the driver wants them."""
    for file in suspended.files:
        guest.state_path(file.name).write_bytes(file.path.read_bytes())


@asynccontextmanager
async def suspended(node: Node) -> AsyncIterator[tuple[OutgoingGuest, Suspended]]:
    """The guest, down after it ran for a while."""
    await node.start()
    guest = node.driver.outgoing(node.bed.definition)
    down = await guest.suspend()
    try:
        yield guest, down
    finally:
        down.memory.close()


@asynccontextmanager
async def received(
    node: Node, other: Node, omit: tuple[int, int, int] | None = None
) -> AsyncIterator[tuple[IncomingGuest, Suspended]]:
    """The guest, down on its node and all there on the other, but for a stretch; then discarded."""
    definition = node.bed.definition
    if not (await node.driver.power(definition.name)).is_running:
        await node.start()
    leaving, guest = node.driver.outgoing(definition), other.driver.incoming(definition)
    incoming = await guest.prepare()
    await guest.stand_by()
    live = await leaving.open()
    assert copy_changed(live, incoming, omit)
    live.close()
    down = await leaving.suspend()
    try:
        copy_changed(down.memory, incoming, omit)
        incoming.close()
        write_state(down, guest)
        yield guest, down
    finally:
        down.memory.close()
        await guest.discard()


class OnABed:
    """Tests that need nodes; a subclass gives the bed."""

    @pytest.fixture
    def bed(self) -> Iterator[Bed]:
        """The driver's bed, closed afterwards."""
        raise NotImplementedError

    @pytest.fixture
    def eager(self) -> Iterator[Node]:
        """A node of another bed, whose guest works as fast as it can; closed afterwards."""
        raise NotImplementedError

    @pytest.fixture
    def node(self, bed: Bed) -> Node:
        """The node that the guest is on."""
        return bed.node("a")

    @pytest.fixture
    def other(self, bed: Bed) -> Node:
        """The node that it goes to."""
        return bed.node("b")
