"""Whoever watches a migration is told every event once and in order, whenever he comes; samples are
told and not kept; everybody is let go at the end.
"""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.errors import LocalFault, PeerLost
from bmigd.migration.phases import Phase
from bmigd.migration.picture import (
    Event,
    Failure,
    Options,
    Part,
    Picture,
    Round,
    event_from_json,
    failure_of,
    picture_from_json,
    to_json,
)
from bmigd.migration.recorder import Recorder


class Saved:
    """What was given to be kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pictures: list[dict[str, Any]] = []

    def keep_event(self, migration_id: str, event: Event) -> None:
        assert migration_id == "m1"
        self.events.append(event)

    def keep_picture(self, picture: Picture) -> None:
        self.pictures.append(to_json(picture))


def picture() -> Picture:
    """A migration that has just begun."""
    return Picture("m1", "web1", "host1", "host2", "source", 7, "alice", Options())


@pytest.fixture
def saved() -> Saved:
    return Saved()


@pytest.fixture
def recorder(saved: Saved) -> Recorder:
    return Recorder(picture(), saved, [])


def told(events: list[Event]) -> list[tuple[int, str]]:
    """Sequence numbers and words."""
    return [(event.sequence, event.message) for event in events]


def end(recorder: Recorder) -> None:
    """The last phase but one is skipped: one event less to look at."""
    recorder.picture.phase = Phase.ABORTING
    recorder.end(Phase.ABORTED, "over")


async def all_of(recorder: Recorder, after: int = 0) -> list[Event]:
    """Everything that a watcher is told until he is let go."""
    return [event async for event in recorder.watch(after)]


async def watching(recorder: Recorder, after: int = 0) -> "asyncio.Task[list[Event]]":
    """A watcher who is already there."""
    task = asyncio.create_task(all_of(recorder, after))
    while not recorder._watchers:
        await asyncio.sleep(0)
    return task


async def test_a_watcher_is_told_what_was_and_what_comes(recorder: Recorder) -> None:
    recorder.event("note", "first")
    async with asyncio.timeout(5):
        task = await watching(recorder)
        recorder.event("note", "second")
        end(recorder)
        assert told(await task) == [(1, "first"), (2, "second"), (3, "over")]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_watcher_who_comes_back_is_told_the_rest(recorder: Recorder, after: int) -> None:
    for message in ("first", "second"):
        recorder.event("note", message)
    async with asyncio.timeout(5):
        task = await watching(recorder, after)
        recorder.event("note", "third")
        end(recorder)
        everything = [(1, "first"), (2, "second"), (3, "third"), (4, "over")]
        assert told(await task) == everything[after:]


async def test_a_watcher_of_an_ended_migration_is_told_everything_and_let_go(
    recorder: Recorder,
) -> None:
    recorder.enter(Phase.ABORTING, "giving up")
    recorder.end(Phase.ABORTED, "over")
    async with asyncio.timeout(5):
        assert told(await all_of(recorder)) == [(1, "giving up"), (2, "over")]
        assert told(await all_of(recorder, 1)) == [(2, "over")]
        assert told(await all_of(recorder, 2)) == []


async def test_samples_are_told_and_not_kept(recorder: Recorder, saved: Saved) -> None:
    recorder.sample()  # nobody watches
    async with asyncio.timeout(5):
        task = await watching(recorder)
        recorder.picture.progress.sent_bytes = 4096
        recorder.sample()
        recorder.picture.progress.sent_bytes = 8192
        end(recorder)
        sample, over = await task
    assert (sample.sequence, sample.kind) == (0, "progress")
    assert sample.progress
    assert sample.progress.sent_bytes == 4096  # as it was then
    assert [event.sequence for event in saved.events] == [over.sequence] == [1]
    assert told(await all_of(recorder)) == [(1, "over")]


async def test_a_slow_watcher_loses_samples_and_never_events(recorder: Recorder) -> None:
    async with asyncio.timeout(5):
        task = await watching(recorder)
        for _ in range(1000):
            recorder.sample()
        for _ in range(100):
            recorder.event("note", "kept")
        end(recorder)
        seen = await task
    assert [event.sequence for event in seen if event.sequence] == list(range(1, 102))
    assert sum(event.sequence == 0 for event in seen) <= 64


async def test_a_watcher_who_leaves_is_forgotten(recorder: Recorder) -> None:
    task = await watching(recorder)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not recorder._watchers


def test_phases_are_recorded_in_their_order(recorder: Recorder, saved: Saved) -> None:
    recorder.enter(Phase.PREPARING, "making room")
    assert saved.events[0].phase == Phase.PREPARING
    assert recorder.picture.progress.phase is Phase.PREPARING
    with pytest.raises(AssertionError):
        recorder.enter(Phase.COMPLETED, "too early")


def test_the_end_is_written_to_history(recorder: Recorder, saved: Saved) -> None:
    recorder.picture.in_doubt_since_ms, recorder.picture.waiting_for = 5, "host2"
    failure = Failure("PEER_LOST", "gone", "source", "host1", "look")
    recorder.enter(Phase.ABORTING, "giving up")
    recorder.end(Phase.ABORTED, "over", failure)
    last = picture_from_json(saved.pictures[-1])
    assert last == recorder.picture
    assert last.has_ended
    assert last.failure == failure
    assert (last.in_doubt_since_ms, last.waiting_for) == (0, "")
    assert last.ended_at_ms >= last.started_at_ms > 0


def test_a_completed_migration_is_at_a_hundred_percent(recorder: Recorder) -> None:
    for phase in (Phase.PREPARING, Phase.PRECOPY, Phase.SWITCHOVER, Phase.HANDOFF):
        recorder.enter(phase, "on")
    recorder.end(Phase.COMPLETED, "done")
    assert recorder.picture.progress.percent == 100


@given(st.data())
def test_pictures_and_events_come_back_from_json(data: st.DataObject) -> None:
    original = data.draw(st.builds(picture))
    original.report.rounds = data.draw(
        st.lists(st.builds(Round, *[st.integers(0, 2**63)] * 4, st.booleans()), max_size=3)
    )
    original.report.downtime_parts = [Part("suspend", "source", 5)]
    original.failure = data.draw(st.none() | st.builds(Failure, *[st.text()] * 5))
    original.phase = data.draw(st.sampled_from(Phase))
    assert picture_from_json(to_json(original)) == original
    event = Event(
        1, 2, "phase", "m", original.phase, data.draw(st.sampled_from([None, original.progress]))
    )
    assert event_from_json(to_json(event)) == event


def test_a_failure_tells_who_where_and_what_to_do() -> None:
    known = PeerLost("PEER_LOST", "no answer", "look at host2", side="destination")
    assert failure_of(known, "source", "on host1") == Failure(
        "PEER_LOST", "no answer", "destination", "on host1", "look at host2"
    )
    plain = failure_of(LocalFault("SPOOL_FULL", "no room"), "source", "on host1")
    assert (plain.side, bool(plain.advice)) == ("source", True)
    grouped = failure_of(ExceptionGroup("two", [known, ValueError()]), "source", "")
    assert grouped.reason == "PEER_LOST"
    bug = failure_of(ZeroDivisionError("division"), "source", "")
    assert (bug.reason, bug.message) == ("INTERNAL", "ZeroDivisionError: division")


@pytest.mark.parametrize("jump_s", [86400, -86400])
def test_a_total_is_not_told_by_the_time_of_day(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    jumped = time.time_ns() + jump_s * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: jumped)
    for phase in (Phase.ABORTING, Phase.ABORTING):  # the same again after a write that failed
        recorder.enter(phase, "why")
    recorder.end(Phase.ABORTED, "over")
    assert recorder.picture.ended_at_ms == jumped // 10**6
    assert 0 <= recorder.picture.report.total_us < 60e6


async def test_while_nothing_moves_a_watcher_is_told_for_how_long_and_no_old_figures(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bmigd.migration.recorder.AGAIN_S", 0.01)
    progress = recorder.picture.progress
    progress.rate_bytes_per_s, progress.estimated_downtime_ms = 100, 7
    watcher = recorder.watch(0)
    async with asyncio.timeout(5):
        recorder.wait_for("a word", time.monotonic() - 3)
        recorder.event("interrupted", "it is silent")
        told_at_once = [await anext(watcher) for _ in range(3)]
        assert [one.sequence for one in told_at_once] == [1, 0, 0]
        for one in told_at_once:
            assert one.progress
            assert one.progress.waiting_for == "a word"
            assert 3000 <= one.progress.waited_ms < 8000
            assert (one.progress.rate_bytes_per_s, one.progress.estimated_downtime_ms) == (0, None)
        recorder.go_on()
        recorder.event("reconnect", "it speaks")
        last = await anext(watcher)
        while last.sequence == 0:  # one that was on its way
            last = await anext(watcher)
        assert last.progress
        assert last.progress.waiting_for == ""
    await watcher.aclose()  # type: ignore[attr-defined]
