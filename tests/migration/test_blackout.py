"""A downtime ends when the guest runs over there; its parts add up to it."""

import time

from bmigd.migration.blackout import TAKE_OVER, Blackout
from bmigd.migration.outage import Outage
from bmigd.migration.picture import DESTINATION, SOURCE, Options, Part, Picture, Report
from bmigd.migration.recorder import Recorder, us_since
from tests.migration.test_recorder import Saved

STOP, START = Part("stop", SOURCE, 100_000), Part("start", DESTINATION, 200_000)
AFTERWARDS = Part(TAKE_OVER, DESTINATION, 300_000)


def noted(*theirs: Part) -> tuple[Report, int]:
    """The report of a guest that went down a second ago and was committed 0.6 s ago; and how long
    ago it went down at most, in us.
    """
    picture = Picture("m1", "web1", "host1", "host2", "source", 7, "alice", Options())
    recorder = Recorder(picture, Saved(), [])
    now = time.monotonic()
    blackout = Blackout([STOP], now - 1.0, Outage(recorder, ""))
    blackout.note(picture.report, now - 0.6, theirs)
    return picture.report, us_since(now - 1.0)


def test_what_the_destination_does_for_a_guest_that_runs_is_no_downtime() -> None:
    report, most_us = noted(START, AFTERWARDS)
    assert 700_000 <= report.downtime_us <= most_us - AFTERWARDS.duration_us
    assert TAKE_OVER not in {part.name for part in report.downtime_parts}


def test_the_parts_add_up_to_the_downtime() -> None:
    report, _ = noted(START, AFTERWARDS)
    names = [part.name for part in report.downtime_parts]
    assert names == ["stop", "commit", "start", "other"]
    assert sum(part.duration_us for part in report.downtime_parts) == report.downtime_us


def test_a_guest_that_had_to_be_started_afresh_was_down_for_that_too() -> None:
    report, _ = noted(Part("start afresh", DESTINATION, 300_000))
    assert report.downtime_us >= 1_000_000


def test_a_destination_cannot_claim_time_in_which_the_guest_was_not_its_own() -> None:
    report, _ = noted(Part(TAKE_OVER, DESTINATION, 9_000_000))
    assert report.downtime_us >= 400_000
