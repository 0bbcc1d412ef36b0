"""A downtime ends when the guest runs over there; its parts add up to it; what it cost beside
memory is learned from, unless something else took time as well.
"""

import time
from typing import cast

import pytest

from bmigd.drivers.base import Driver
from bmigd.migration.blackout import AFRESH, MEMORY, TAKE_OVER, Blackout
from bmigd.migration.costs import Cost, One
from bmigd.migration.handoff import Outcome
from bmigd.migration.outage import Outage
from bmigd.migration.picture import (
    DESTINATION,
    SOURCE,
    Interruption,
    Options,
    Part,
    Picture,
    Report,
)
from bmigd.migration.ports import Answer
from bmigd.migration.recorder import Recorder, us_since
from tests.migration.test_recorder import Saved

STOP, START = Part("stop", SOURCE, 100_000), Part("start", DESTINATION, 200_000)
COPY = Part(MEMORY, SOURCE, 150_000)
AFTERWARDS = Part(TAKE_OVER, DESTINATION, 300_000)
ESTIMATED_S = 0.2


class Down:
    """A guest that went down a second ago, to cost 0.2 s by its driver's estimate."""

    def __init__(self, *parts: Part) -> None:
        picture = Picture("m1", "web1", "host1", "host2", "source", 7, "alice", Options())
        self.recorder = Recorder(picture, Saved(), [])
        outage = Outage(self.recorder, "")
        self.report = picture.report
        self.learned: list[float] = []  # in times of the estimate
        cost = Cost(cast(Driver, None), 4096, None, self._note, ESTIMATED_S)
        self._now = time.monotonic()
        self.blackout = Blackout(list(parts), self._now - 1.0, outage, cost)

    def _note(self, one: One) -> None:
        self.learned.append(one.times)

    def note(self, *theirs: Part, running_for_us: int = 0) -> int:
        """It was committed 0.6 s ago and is up; how long ago it went down at most, in us."""
        answer = Answer(Outcome.RUNNING, theirs, None, running_for_us)
        self.blackout.note(self.report, self._now - 0.6, answer)
        return us_since(self._now - 1.0)


def noted(*theirs: Part, running_for_us: int) -> tuple[Report, int]:
    down = Down(STOP)
    most_us = down.note(*theirs, running_for_us=running_for_us)
    return down.report, most_us


def test_what_the_destination_does_for_a_guest_that_runs_is_no_downtime() -> None:
    report, most_us = noted(START, AFTERWARDS, running_for_us=AFTERWARDS.duration_us)
    assert 700_000 <= report.downtime_us <= most_us - AFTERWARDS.duration_us
    assert TAKE_OVER not in {part.name for part in report.downtime_parts}


def test_the_parts_add_up_to_the_downtime() -> None:
    report, _ = noted(START, AFTERWARDS, running_for_us=350_000)
    names = [part.name for part in report.downtime_parts]
    assert names == ["stop", "commit", "start", "other"]
    assert sum(part.duration_us for part in report.downtime_parts) == report.downtime_us


def test_a_guest_that_had_to_be_started_afresh_was_down_for_that_too() -> None:
    report, _ = noted(Part(AFRESH, DESTINATION, 300_000), running_for_us=0)
    assert report.downtime_us >= 1_000_000


def test_a_destination_cannot_claim_time_in_which_the_guest_was_not_its_own() -> None:
    report, _ = noted(running_for_us=10**19)
    assert report.downtime_us >= 400_000


def test_a_destination_of_before_says_no_more_than_how_long_it_took_over() -> None:
    report, most_us = noted(START, AFTERWARDS, running_for_us=0)
    assert report.downtime_us <= most_us - AFTERWARDS.duration_us


def test_an_answer_that_came_late_is_no_downtime() -> None:
    report, most_us = noted(START, running_for_us=350_000)
    assert 650_000 <= report.downtime_us <= most_us - 350_000


async def test_what_it_cost_beside_memory_is_learned_from() -> None:
    down = Down(STOP, COPY)
    down.note(START, AFTERWARDS)
    await down.blackout.end(down.report)
    took_s = (down.report.downtime_us - COPY.duration_us) / 1e6
    assert down.learned == [pytest.approx(took_s / ESTIMATED_S)]


@pytest.mark.parametrize("why", ["started afresh", "memory was read back", "the other was silent"])
async def test_nothing_is_learned_where_something_else_took_time(why: str) -> None:
    down = Down(STOP)
    down.note(Part(AFRESH, DESTINATION, 300_000) if why == "started afresh" else START)
    down.report.verified = why == "memory was read back"
    if why == "the other was silent":
        down.report.interruptions.append(Interruption("READY", 900_000, True, True))
    await down.blackout.end(down.report)
    assert not down.learned


async def test_what_the_destination_calls_a_last_pass_is_none() -> None:
    down = Down(STOP, COPY, Part(MEMORY, DESTINATION, 10**15))
    down.note(START)
    await down.blackout.end(down.report)
    took_s = (down.report.downtime_us - COPY.duration_us) / 1e6
    assert down.learned == [pytest.approx(took_s / ESTIMATED_S)]


async def test_a_silence_while_the_guest_ran_changes_nothing() -> None:
    down = Down(STOP)
    down.note(START)
    down.report.interruptions.append(Interruption("memory", 900_000, False, True))
    await down.blackout.end(down.report)
    assert len(down.learned) == 1
