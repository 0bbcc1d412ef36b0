"""Progress is steady: it never falls, is never 100 too early and is thinned without loss."""

import io
from typing import Any

import pytest
from bmig.v1 import migration_pb2
from bmigctl import figures, progress
from bmigctl.progress import JsonTeller, LineTeller, LiveTeller, Shown
from bmigctl.watch import InDoubt, StreamLost, StreamResumed
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.bmigctl.nodes import MIB, event


@given(st.lists(st.integers(0, 200), min_size=1))
def test_the_percentage_never_falls_and_is_not_whole_before_the_end(samples: list[int]) -> None:
    shown, seen = Shown(300), [0]
    for sample in samples:
        shown.take(event(0, "progress", percent=sample).event)
        seen.append(shown.percent)
    assert seen == sorted(seen)
    assert seen[-1] <= 99
    done = event(9, "ended", "", migration_pb2.PHASE_COMPLETED, percent=100)
    shown.take(done.event)
    assert shown.percent == 100


def test_samples_are_thinned_and_kept_events_are_not() -> None:
    shown = Shown(300)

    def due(sequence: int, at_ms: int) -> bool:
        return shown.is_due(migration_pb2.Event(sequence=sequence, at_ms=at_ms))

    assert due(0, 10_000)
    assert not due(0, 11_999)
    assert due(1, 11_999)
    assert due(0, 12_000)


def test_every_figure_has_its_unit() -> None:
    shown = Shown(0)
    figures: dict[str, Any] = {
        "percent": 57,
        "round": 3,
        "sent_bytes": 412 * MIB,
        "rate_bytes_per_s": 120 * MIB,
        "dirty_rate_bytes_per_s": 3 * MIB,
        "estimated_downtime_ms": 180,
        "estimated_remaining_ms": 12_000,
    }
    shown.take(event(0, "progress", **figures).event)
    assert shown.figures() == [
        "57 %",
        "round 3",
        "412 MiB sent",
        "120 MiB/s of memory",
        "guest dirties 3 MiB/s",
        "downtime ~180 of 300 ms",
        "12.0 s left",
    ]
    line = progress.event_line(event(0, "progress", **figures).event, shown)
    assert line[8:].startswith("  precopy    57 %")


def test_what_is_not_known_is_not_told_as_a_number() -> None:
    shown = Shown(300)
    shown.take(event(0, "progress", rate_bytes_per_s=MIB, estimated_remaining_ms=5000).event)
    assert shown.figures()[2:] == ["1 MiB/s of memory", "at least 5.0 s left"]
    idle: dict[str, Any] = {"dirty_rate_bytes_per_s": 0, "estimated_downtime_ms": 0}
    told = ["guest dirties 0 B/s", "downtime ~0 of 300 ms"]
    shown.take(event(0, "progress", **idle).event)
    assert shown.figures()[2:] == told
    shown.take(event(0, "progress", **idle, is_without_end=True).event)
    assert shown.figures()[2:] == [*told, "no end in sight like this"]


def test_a_guest_that_is_slowed_is_told_with_the_speed_that_is_left() -> None:
    shown = Shown(0)
    shown.take(event(0, "progress", throttle_percent=75).event)
    assert "guest slowed to 25 %" in shown.figures()
    shown.take(event(0, "progress", throttle_percent=0).event)
    assert "slowed" not in " ".join(shown.figures())


def test_breaks_and_doubts_are_told_in_words() -> None:
    lost = progress.notice(StreamLost("host1", "connection refused", 0.5))
    assert lost == "lost host1: connection refused; trying again in 0.5 s"
    assert progress.notice(StreamResumed("host1")) == "host1 answers again"
    doubt = progress.notice(InDoubt(migration_pb2.Migration(destination="host2")))
    assert doubt == "in doubt: host2 has not said what became of the guest"
    stuck = migration_pb2.Migration(
        destination="host2",
        waiting_for="the journal of host1 to be mended",
        failure=migration_pb2.Failure(reason="JOURNAL_UNWRITABLE"),
    )
    assert progress.notice(InDoubt(stuck)) == "waiting for the journal of host1 to be mended"


def test_a_live_picture_ends_with_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    migration = migration_pb2.Migration(guest="vm1", source="host1", destination="host2")
    voice = LiveTeller(migration)
    voice.tell(event(1, "round", "one", percent=40, round=1).event)
    voice.tell(event(0, "progress", percent=50, round=1).event)
    voice.tell(StreamLost("host1", "gone", 0.5))
    migration.phase = migration_pb2.PHASE_COMPLETED
    voice.tell(migration)
    voice.close()
    told = capsys.readouterr().out
    assert "round: one" in told
    assert "lost host1: gone" in told
    assert told.endswith("guest vm1 runs on host2 now\n")


def test_why_a_migration_was_aborted_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    migration = migration_pb2.Migration(guest="vm1", source="host1", destination="host2")
    migration.phase = migration_pb2.PHASE_ABORTED
    migration.failure.reason, migration.failure.message = "SPOOL_FULL", "no room on host2"
    why = "SPOOL_FULL: no room on host2"
    for voice in (LineTeller(300), LiveTeller(migration)):
        voice.tell(event(3, "ended", why, migration_pb2.PHASE_ABORTED).event)
        voice.tell(migration)
        voice.close()
        assert capsys.readouterr().out.count(why) == 1


def test_the_live_picture_is_four_lines_of_80_columns() -> None:
    migration = migration_pb2.Migration(guest="vm1", source="host1", destination="host2")
    shown = Shown(30_000)
    figures: dict[str, Any] = {
        "percent": 40,
        "round": 100,
        "sent_bytes": 999 * MIB,
        "throttle_percent": 80,
    }
    figures |= {"rate_bytes_per_s": 999 * MIB, "dirty_rate_bytes_per_s": 999 * MIB}
    figures |= {"estimated_downtime_ms": 29_999, "estimated_remaining_ms": 3_500_000}
    shown.take(event(1, "round", "one", **figures).event)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(progress.picture(migration, shown))
    head, bar, *rest = (line.rstrip() for line in console.export_text().splitlines())
    assert head == "vm1: host1 to host2, precopy, 40 %, round 100, 999 MiB sent"
    assert set(bar) <= set("━╺╸ ")
    assert rest == [
        "999 MiB/s of memory, guest dirties 999 MiB/s, guest slowed to 20 %",
        "downtime ~29999 of 30000 ms, 58 min 20 s left",
    ]


def test_the_teller_fits_where_the_output_goes() -> None:
    migration = migration_pb2.Migration()
    assert isinstance(progress.teller(migration, as_json=True), JsonTeller)
    assert isinstance(progress.teller(migration, as_json=False), LineTeller)


def test_while_nothing_moves_the_wait_is_told_and_no_figure() -> None:
    silent = migration_pb2.Progress(
        rate_bytes_per_s=1 << 20,
        estimated_downtime_ms=80,
        estimated_remaining_ms=900,
        waiting_for="acknowledgement of memory from host2",
        waited_ms=12_000,
    )
    assert figures.pace(silent) == ["waiting for 12.0 s: acknowledgement of memory from host2"]
    assert figures.prospect(silent, 300) == []
