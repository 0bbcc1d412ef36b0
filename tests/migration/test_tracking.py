"""The exact tracker is used where a log of the guest's writes can be had, and only there; what it
could not see is found when that is asked for, while the guest can still go on where it is.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest

from bmigd.chunk import MIB, PAGE_BYTES, CodecId
from bmigd.drivers.base import DirtyLog, Driver, Memory, OutgoingGuest
from bmigd.drivers.bhyve.memory import snapshot_memory
from bmigd.errors import LocalFault
from bmigd.migration.costs import Cost, One
from bmigd.migration.picture import Event, Options, Picture
from bmigd.migration.recorder import Recorder
from bmigd.migration.rounds import Rounds
from bmigd.migration.throttle import Throttle
from bmigd.migration.tracking import NO_LOG, Tracking, begin, obstacle
from bmigd.transfer.encoding import Encoder
from bmigd.transfer.lane import Patience
from bmigd.transfer.pacing import Pacer
from bmigd.transfer.sender import Sender
from tests.drivers.dirtylog.hypervisor import Hypervisor, hypervisor, require_kernel
from tests.transfer.ends import PAGES, Peer, Silence
from tests.transfer.memories import layout, table_of

FIXED_S = 0.1


class Estimating:
    """As much of a driver as rounds ask."""

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        return FIXED_S

    def hidden_s(self, memory_bytes: int) -> float:
        return 0.0


def cost(times: float = 1.0) -> Cost:
    """That driver's, of which nothing is learned."""
    return Cost(cast(Driver, Estimating()), 4096, One(4096, 1.0, times), lambda _: None)


class Leaving:
    """As much of an outgoing guest as is needed to track it."""

    def __init__(self, log: DirtyLog | None) -> None:
        self._log = log

    def dirty_log(self) -> DirtyLog | None:
        return self._log


def leaving(log: DirtyLog | None) -> OutgoingGuest:
    """A guest with that log."""
    return cast(OutgoingGuest, Leaving(log))


class Refusing:
    """A log that cannot be kept."""

    opened = closed = 0

    async def open(self) -> None:
        self.opened += 1
        raise LocalFault("TRACKER_NOT_AVAILABLE", "its balloon gives memory back")

    def take(self, region: int) -> list[tuple[int, int]]:
        raise AssertionError("it was never open")

    async def close(self) -> None:
        self.closed += 1


class Willing(Refusing):
    """One that can."""

    async def open(self) -> None:
        self.opened += 1


TABLE = table_of(layout([1]))


@pytest.mark.parametrize(
    ("wish", "log", "name", "why"),
    [
        ("auto", None, "content", NO_LOG),
        ("auto", Refusing(), "content", "its balloon gives memory back"),
        ("auto", Willing(), "pagemap", "the guest's writes are logged"),
        ("pagemap", Willing(), "pagemap", "the guest's writes are logged"),
        ("content", Willing(), "content", "asked for"),
        ("content", None, "content", "asked for"),
    ],
)
async def test_the_tracker_is_chosen_by_what_is_wanted_and_what_can_be(
    wish: str, log: DirtyLog | None, name: str, why: str
) -> None:
    tracking = await begin(leaving(log), wish, TABLE, compares=False)
    assert (tracking.tracker.name, tracking.why) == (name, why)
    await tracking.end()


@pytest.mark.parametrize("log", [None, Refusing()])
async def test_a_tracker_asked_for_by_name_is_had_or_refused(log: DirtyLog | None) -> None:
    with pytest.raises(LocalFault) as fault:
        await begin(leaving(log), "pagemap", TABLE, compares=False)
    assert fault.value.reason == "TRACKER_NOT_AVAILABLE"


async def test_what_was_opened_is_closed() -> None:
    log = Willing()
    await (await begin(leaving(log), "auto", TABLE, compares=False)).end()
    assert (log.opened, log.closed) == (1, 1)
    assert await obstacle(leaving(log)) == ""
    assert (log.opened, log.closed) == (2, 2)


def hashers() -> list[int]:
    """Processes of ours that hash memory."""
    ours = psutil.Process().children()
    return [one.pid for one in ours if "bmigd.transfer.hasher" in one.cmdline()]


async def test_processes_end_with_their_migration_and_with_one_that_was_cancelled() -> None:
    tracking = await begin(leaving(None), "content", TABLE, compares=False)
    assert hashers()
    await tracking.end()
    assert not hashers()
    tracking = await begin(leaving(Willing()), "auto", TABLE, compares=True)
    assert tracking.tracker.name == "pagemap"
    assert hashers()
    await tracking.end()
    assert not hashers()
    beginning = asyncio.create_task(begin(leaving(None), "content", TABLE, compares=False))
    await asyncio.sleep(0)  # it has asked for them by then
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert not hashers()


async def test_a_dry_run_is_told_why_there_can_be_no_log() -> None:
    assert await obstacle(leaving(None)) == NO_LOG
    assert await obstacle(leaving(Refusing())) == "its balloon gives memory back"


class Unkept:
    """History that nobody keeps but for the words of its events."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def keep_event(self, migration_id: str, event: Event) -> None:
        self.words.append(event.message)

    def keep_picture(self, picture: Picture) -> None:
        pass


class Migrating:
    """A hypervisor whose memory goes to a peer in rounds."""

    def __init__(self, started: Hypervisor, wish: str, options: Options) -> None:
        self.started, self.wish, self.options = started, wish, options
        self.kept, self.factor = Unkept(), 1.0
        self.memory: Memory = snapshot_memory(started.ram_file, started.regions)
        self.peer = Peer()
        self.picture = Picture("m1", "web1", "a", "b", "source", 1, "alice", options)

    @asynccontextmanager
    async def rounds(self) -> AsyncIterator[Rounds]:
        """The rounds of it; the memory's log is closed and the memory unmapped at the end."""
        table = table_of(self.memory.regions)
        tracking: Tracking = await begin(
            leaving(self.started.log()), self.wish, table, compares=False
        )
        pacer = Pacer(self.options.bandwidth_limit_bytes_per_s)
        with ThreadPoolExecutor(1) as executor:
            sender = Sender(
                *("m1", 1, self.peer.open, table, Encoder(CodecId.RAW), pacer, 4),
                *(Patience(5.0, 5.0), executor, lambda: None, Silence()),
            )
            recorder = Recorder(self.picture, self.kept, [])
            try:
                throttle = Throttle(leaving(None), recorder)
                known = cost(self.factor)
                yield Rounds(sender, tracking.tracker, recorder, self.options, known, throttle)
            finally:
                await tracking.end()
                await sender.close()
                self.memory.close()

    def arrived(self) -> bool:
        """Whether the peer has what the hypervisor has."""
        return bytes(self.peer.memory.contents[0]) == self.started.ram_file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["content", "pagemap"])
@pytest.mark.parametrize("verify", [False, True])
async def test_memory_arrives_with_either_tracker(tmp_path: Path, wish: str, verify: bool) -> None:
    with hypervisor(tmp_path, [PAGES]) as started:
        await require_kernel(started.log())
        started.do(f"write 0 1 {PAGES}")
        started.do("storm 1")
        migrating = Migrating(started, wish, Options(downtime_limit_ms=5000, verify=verify))
        async with migrating.rounds() as rounds:
            await rounds.precopy(migrating.memory)
            started.do("calm")
            await rounds.last_pass(migrating.memory)
            await rounds.verify(migrating.memory, is_another=False)
            assert migrating.arrived()
        assert migrating.picture.report.tracker == wish
        assert not started.is_watched()


async def test_what_switchovers_took_before_is_told_and_decides_nothing(tmp_path: Path) -> None:
    with hypervisor(tmp_path, [PAGES]) as started:
        migrating = Migrating(started, "content", Options(downtime_limit_ms=5000))
        migrating.factor = 64.0  # 6.4 s
        async with migrating.rounds() as rounds:
            await rounds.precopy(migrating.memory)
        assert any("within the limit of 5000 ms" in words for words in migrating.kept.words)
        estimated_ms = migrating.picture.progress.estimated_downtime_ms
        assert estimated_ms
        assert 6400 <= estimated_ms < 11400


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wish", "verify", "is_found"),
    [("pagemap", True, True), ("pagemap", False, False), ("content", False, False)],
)
async def test_what_another_process_wrote_unseen_is_found_by_verifying(
    tmp_path: Path, wish: str, verify: bool, is_found: bool
) -> None:
    with hypervisor(tmp_path, [PAGES]) as started:
        await require_kernel(started.log())
        started.do("write 0 1 64")
        migrating = Migrating(started, wish, Options(downtime_limit_ms=5000, verify=verify))
        async with migrating.rounds() as rounds:
            await rounds.precopy(migrating.memory)
            with started.ram_file.open("r+b") as other:  # the blind spot
                other.seek(9 * PAGE_BYTES)
                other.write(b"unseen")
                other.seek(500 * PAGE_BYTES)  # where nothing was before
                other.write(b"unseen")
            await rounds.last_pass(migrating.memory)
            if is_found:
                with pytest.raises(LocalFault, match="2 pages") as fault:
                    await rounds.verify(migrating.memory, is_another=False)
                assert fault.value.reason == "MEMORY_DIFFERS"
                assert "--tracker content" in fault.value.advice
            else:
                await rounds.last_pass(migrating.memory)
            assert migrating.arrived() == (wish == "content")


@pytest.mark.parametrize(
    ("wish", "verify", "readings"),
    [
        ("content", False, 0),
        ("content", True, 1),  # there; here the last pass reads everything
        ("pagemap", False, 0),
        ("pagemap", True, 2),
    ],
)
async def test_the_estimate_has_every_reading_of_all_memory_that_rounds_do_not_do(
    wish: str, verify: bool, readings: int
) -> None:
    table = table_of(layout([64 * MIB // PAGE_BYTES]))
    log = leaving(Willing())
    tracking = await begin(log, wish, table, compares=False)
    recorder = Recorder(Picture("m1", "w", "a", "b", "source", 1, "x", Options()), Unkept(), [])
    with ThreadPoolExecutor(1) as executor:
        sender = Sender(
            *("m1", 1, Peer().open, table, Encoder(CodecId.RAW), Pacer(0), 4),
            *(Patience(5.0, 5.0), executor, lambda: None, Silence()),
        )
        rounds = Rounds(
            *(sender, tracking.tracker, recorder, Options(verify=verify), cost()),
            Throttle(log, recorder),
        )
        limits = await rounds._limits_now()
    await tracking.end()
    assert limits.fixed_downtime_s == pytest.approx(FIXED_S + readings / 32)
