"""What an operator is told about a guest in doubt, what he may do, and how the source asks on."""

import re
import shutil
import subprocess
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from bmigd.migration.inquiry import IN_DOUBT_AFTER_S
from tests.daemons import BIN, eventually
from tests.e2e.faults.bench import GUEST, await_death, crash_host, order
from tests.e2e.faults.case import LATE_S, Case, restarted
from tests.e2e.faults.results import Name, keep
from tests.e2e.way import REFUSED, refused

pytestmark = pytest.mark.e2e

MISUSED = 2  # exit status of bmigctl
AWAY = Name("daemon away for long", "handoff", "destination")
GONE = Name("host and journal gone for good", "handoff", "destination")
NAMES = [AWAY, GONE]
NO_ANSWER = re.compile(r'"event": "no answer".*"timestamp": "([^"]+)Z"')


def in_doubt(case: Case) -> dict[str, Any]:
    """The migration as the source lists it, once it is in doubt."""

    def listed() -> dict[str, Any] | None:
        found = [one for one in case.bench.world.migrations(GUEST) if one["id"] == case.id]
        return found[0] if found and found[0]["in_doubt_since_ms"] else None

    found: dict[str, Any] = eventually(listed, what="doubt")
    return found


def lose_destination(case: Case, point: str = "destination.COMMITTED.JOURNAL") -> None:
    """Its daemon dies as the guest is handed over."""
    order(case.destination, point)
    case.begin()
    await_death(case.destination)
    case.strike()


def resolve(case: Case, name: str = GUEST) -> dict[str, Any]:
    """The error that an operator gets."""
    arguments = ("resolve", case.id, "--run-here", "--confirm", name)
    return refused(case.bench.world, *arguments, code=REFUSED if name == GUEST else MISUSED)


def test_what_is_in_doubt_is_told_exactly_and_until_it_is_settled(case: Case) -> None:
    lose_destination(case)
    world, source, destination = case.bench.world, case.source, case.destination
    told = in_doubt(case)
    assert destination.name in told["waiting_for"]
    assert "does not answer" in told["waiting_for"]
    assert told["ownership"] == "LET_GO"
    assert world.where(GUEST) == {source.name: "GUEST_STATE_IN_DOUBT"}
    text = world.ctl("list", "--guest", GUEST).stdout
    assert f"{case.id[:8]}: in doubt since " in text
    assert f"waiting for {destination.name} to say what became of the guest" in text
    assert "IN DOUBT since " in world.ctl("show", case.id).stdout
    console = world.ctl("guest", "console", GUEST, check=False)
    assert "HB n=" in console.stdout  # what it said last
    assert "GUEST_NOT_RUNNING" in console.stderr
    assert f"in doubt on {source.name}" in console.stderr
    source.stop(9)
    source.start()
    assert in_doubt(case)["in_doubt_since_ms"] == told["in_doubt_since_ms"]
    destination.start()
    keep(AWAY, case.settle("moved"))


@pytest.mark.parametrize("point", ["EXECUTING.end", "GUEST_RUNS.JOURNAL", "GUEST_RUNS.end"])
def test_a_guest_that_runs_is_not_called_down_while_its_node_cannot_say_so(
    case: Case, point: str
) -> None:
    lose_destination(case, f"destination.{point}")
    in_doubt(case)  # after three seconds
    case.destination.start()
    silent_s = case.settle("moved").downtime_s
    assert silent_s < IN_DOUBT_AFTER_S
    assert case.told_downtime_s() == pytest.approx(silent_s, abs=LATE_S)


def test_an_operator_is_refused_where_the_journal_or_the_peer_knows(case: Case) -> None:
    case.await_copying("1M")  # a busy machine takes seconds to ask and to cancel
    assert resolve(case)["reason"] == "NOT_IN_DOUBT"
    case.bench.world.ctl("cancel", case.id)
    case.strike()
    assert resolve(case)["reason"] == "NOT_IN_DOUBT"
    case.settle("stayed")


def test_an_operator_is_refused_while_the_destination_answers(case: Case) -> None:
    case.bench.world.fault(case.destination.name, GUEST, "restore-slow 4")
    case.begin()
    case.await_phase("handoff")
    case.strike()
    refused = resolve(case)
    assert refused["reason"] == "PEER_ANSWERS"
    assert refused["location"] == f"kept here, and perhaps on {case.destination.name}"
    case.settle("moved")


def test_an_operator_who_names_another_guest_is_refused(case: Case) -> None:
    lose_destination(case)
    in_doubt(case)
    assert resolve(case, "vm2")["reason"] == "CONFIRMATION_WRONG"
    case.destination.start()
    case.settle("moved")


def test_a_destination_that_is_gone_with_its_journal_leaves_one_safe_command(case: Case) -> None:
    lose_destination(case, "destination.EXECUTING.EXECUTE")
    crash_host(case.destination)
    shutil.rmtree(case.destination.directory / "state")
    program = [str(BIN / "bmigd"), "--config", str(case.destination.config_path), "init"]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    case.destination.start()
    eventually(lambda: "it says UNKNOWN" in in_doubt(case)["waiting_for"], what="UNKNOWN")
    case.bench.world.ctl("resolve", case.id, "--run-here", "--confirm", GUEST)
    result = case.settle("stayed", afresh=True)
    keep(GONE, result)


def test_a_source_asks_less_and_less_often_and_never_in_step(case: Case) -> None:
    first = len(NO_ANSWER.findall(case.source.log))
    lose_destination(case)
    asked = eventually(
        lambda: found if len(found := NO_ANSWER.findall(case.source.log)[first:]) > 12 else None
    )
    times = [datetime.fromisoformat(one) for one in asked]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert min(gaps[:3]) < 0.2, gaps
    assert 0.9 < max(gaps) < 6.0, gaps
    assert len({round(gap, 2) for gap in gaps[-4:]}) > 1, gaps
    restarted(case.destination)
    case.settle("moved")
