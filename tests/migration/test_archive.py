"""No migration is ever missing: what goes on is in memory, what ended is in history, and in between
it is in both. Events go on after a restart with the next number.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bmigd.errors import Invalid, Unknown
from bmigd.history import History
from bmigd.journal import Record
from bmigd.migration.archive import Archive
from bmigd.migration.phases import Phase
from bmigd.migration.picture import Options, Picture
from bmigd.migration.recorder import Recorder, now_ms


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive on that file."""
    history = History(path)
    with ThreadPoolExecutor(1) as thread:
        yield Archive("host1", history, thread)
    history.close()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    with opened(tmp_path / "history") as archive:
        yield archive


def picture(name: str = "aaaa-1", guest: str = "vm1", started_at_ms: int = 0) -> Picture:
    return Picture(
        name, guest, "host1", "host2", "source", 7, "alice", Options(), started_at_ms=started_at_ms
    )


def end(recorder: Recorder) -> None:
    recorder.picture.phase = Phase.ABORTING
    recorder.end(Phase.ABORTED, "over")


async def told(archive: Archive, name: str, after: int = 0) -> list[tuple[int, str]]:
    return [(event.sequence, event.message) async for event in archive.watch(name, after)]


async def test_a_migration_that_goes_on_is_found_as_it_is(archive: Archive) -> None:
    recorder = archive.record(picture())
    assert await archive.find("aaaa-1") is recorder.picture
    assert await archive.find("aaaa") is recorder.picture
    assert archive.recorder("aaaa-1") is recorder


async def test_an_id_is_found_however_it_was_written(archive: Archive) -> None:
    recorder = archive.record(picture())
    assert await archive.find("AAAA-1") is recorder.picture


async def test_one_that_ended_leaves_memory_and_is_found_in_history(archive: Archive) -> None:
    recorder = archive.record(picture())
    recorder.event("note", "first")
    end(recorder)
    assert (await archive.find("aaaa-1")).phase is Phase.ABORTED
    assert await archive.newest(lambda _: True, 9) == [recorder.picture]  # after all writes
    with pytest.raises(KeyError):
        archive.recorder("aaaa-1")
    assert (await archive.find("aaaa-1")).phase is Phase.ABORTED
    assert await told(archive, "aaaa-1", after=1) == [(2, "over")]


@pytest.mark.parametrize("beginning", ["aaaa-2", "aaa", "", "b%"])
async def test_what_is_not_known_is_said_to_be_unknown(archive: Archive, beginning: str) -> None:
    archive.record(picture())
    with pytest.raises(Unknown) as caught:
        await archive.find(beginning)
    assert caught.value.reason == "MIGRATION_UNKNOWN"


async def test_a_beginning_of_several_ids_is_ambiguous(archive: Archive) -> None:
    archive.record(picture("aaaa-1"))
    end(archive.record(picture("aaaa-2")))
    with pytest.raises(Invalid) as caught:
        await archive.find("aaaa")
    assert caught.value.reason == "ID_AMBIGUOUS"


async def test_a_list_has_the_newest_of_the_wanted_guests(archive: Archive) -> None:
    for number in range(6):
        recorder = archive.record(picture(f"m{number}", f"vm{number % 2}", number + 1))
        if number < 4:
            end(recorder)
    found = await archive.newest(lambda guest: guest == "vm0", 2)
    assert [one.id for one in found] == ["m4", "m2"]


async def test_events_go_on_with_the_next_number_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "history") as before:
        before.record(picture()).event("note", "before")
    record = Record("aaaa-1", "source", "vm1", "host2", 7, "LET_GO")
    with opened(tmp_path / "history") as archive:
        recorder = await archive.recall(record, Phase.HANDOFF)
        assert (recorder.picture.requested_by, recorder.picture.ownership) == ("alice", "LET_GO")
        recorder.event("note", "after")
        end(recorder)
        assert await told(archive, "aaaa-1") == [(1, "before"), (2, "after"), (3, "over")]


async def test_a_guest_that_was_slowed_is_not_after_a_restart(tmp_path: Path) -> None:
    slowed = picture()
    slowed.progress.throttle_percent = slowed.report.throttle_percent = 75
    with opened(tmp_path / "history") as before:
        before.record(slowed)
    record = Record("aaaa-1", "source", "vm1", "host2", 7, "MIGRATING")
    with opened(tmp_path / "history") as archive:
        found = (await archive.recall(record, Phase.ABORTING)).picture
        assert (found.progress.throttle_percent, found.report.throttle_percent) == (0, 75)


async def test_without_history_the_journal_alone_tells(archive: Archive) -> None:
    record = Record("aaaa-1", "destination", "vm1", "host0", 7, "TAKEN", began_at=3.5)
    recorder = await archive.recall(record, Phase.HANDOFF)
    found = await archive.find("aaaa-1")
    assert found is recorder.picture
    assert (found.source, found.destination, found.side) == ("host0", "host1", "destination")
    assert (found.phase, found.ownership, found.started_at_ms) == (Phase.HANDOFF, "TAKEN", 3500)


@pytest.mark.parametrize(
    ("state", "phase"),
    [("RELEASED", Phase.COMPLETED), ("RECLAIMED", Phase.ABORTED), ("REFUSED", Phase.ABORTED)],
)
def test_a_final_state_is_a_final_phase(tmp_path: Path, state: str, phase: Phase) -> None:
    with opened(tmp_path / "history") as archive:
        record = Record("aaaa-1", "source", "vm1", "host2", 7, state)
        assert archive.picture_of(record).phase is phase


async def test_what_the_journal_settled_before_a_restart_ended_then_and_not_now(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "history") as before:
        begun = before.record(picture(started_at_ms=now_ms() - 60_000)).picture
        await before.newest(lambda _: True, 1)  # after all writes
    settled_at_s = time.time() - 40
    record = Record(
        *("aaaa-1", "source", "vm1", "host2", 7, "RELEASED"),
        began_at=begun.started_at_ms / 1000,
        changed_at=settled_at_s,
    )
    with opened(tmp_path / "history") as after:
        await after.close_settled([record])
        ended = await after.find("aaaa-1")
        assert await told(after, "aaaa-1") == [(1, "the guest runs on host2")]
    assert ended.phase is Phase.COMPLETED
    assert ended.ended_at_ms == pytest.approx(1000 * settled_at_s, abs=5)
    assert ended.report.total_us == pytest.approx(20e6, abs=5e5)


async def test_a_history_that_cannot_be_written_is_told_once_and_when_it_can_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path / "history") as archive:
        recorder = archive.record(picture())
        await archive.newest(lambda _: True, 9)  # nothing is being written
        with closing(sqlite3.connect(tmp_path / "history")) as other:
            archive._history._connection.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")
            for number in range(3):
                recorder.event("note", str(number))
            await archive.newest(lambda _: True, 9)  # after all writes
            other.execute("ROLLBACK")
        recorder.event("note", "last")
        end(recorder)
        await archive.newest(lambda _: True, 9)
    said = capsys.readouterr().out
    assert said.count("history not written") == 1
    assert "another program holds it" in said
    assert said.count("history is written again") == 1
