"""`bmigctl check` and `migrate` as processes: every outcome has its exit code and its words."""

import json
from typing import Any

import pytest
from bmig.v1 import guest_pb2, migration_pb2
from bmigctl import report

from tests.bmigctl.conftest import Operator
from tests.bmigctl.nodes import MIB, FakeNode, Refusal, event, guest, last
from tests.bmigctl.samples import ID, completed, migration

pytestmark = pytest.mark.slow  # each test starts the command as an operator does

START = migration_pb2.StartMigrationRequest
WATCH = migration_pb2.WatchMigrationRequest


@pytest.mark.usefixtures("vm1")
async def test_check_lists_failures_first_and_says_no(alice: Operator, host1: FakeNode) -> None:
    findings = [
        migration_pb2.Finding(check="cpu", verdict=migration_pb2.VERDICT_PASSED, message="equal"),
        migration_pb2.Finding(
            check="memory",
            verdict=migration_pb2.VERDICT_FAILED,
            reason="NO_MEMORY",
            message="needs 512 MiB, has 100 MiB",
            advice="free memory on host2",
        ),
    ]
    host1.answers["CheckMigration"] = migration_pb2.CheckMigrationResponse(
        findings=findings, allowed=False
    )
    ended = await alice.run("check", "vm1", "host2")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "FAILED   memory  NO_MEMORY: needs 512 MiB, has 100 MiB",
        "                 do next: free memory on host2",
        "passed   cpu     equal",
        "guest vm1 cannot go to host2",
    ]


@pytest.mark.usefixtures("vm1")
async def test_check_says_yes(alice: Operator) -> None:
    ended = await alice.run("check", "vm1", "host2")
    assert (ended.code, ended.out) == (0, "guest vm1 can go to host2\n")


@pytest.mark.usefixtures("vm1")
async def test_a_completed_migration_is_told_with_its_downtime_by_side(
    alice: Operator, host1: FakeNode
) -> None:
    host1.streams = [
        [
            event(1, "phase", "checking", migration_pb2.PHASE_CHECKING),
            event(2, "round", "round 1: 256 MiB"),
            event(0, "progress", percent=50, round=1, sent_bytes=128 * MIB),
            last(completed()),
        ]
    ]
    wishes = ("--bandwidth", "100M", "--verify", "--tracker", "content")
    ended = await alice.run("migrate", "vm1", "host2", *wishes)
    assert ended.code == 0, ended
    assert "round: round 1: 256 MiB" in ended.out
    assert "50 %, round 1, 128 MiB sent" in ended.out
    assert "downtime  214 ms (limit 300 ms)" in ended.out
    assert "    source       suspend   64 ms" in ended.out
    assert "    destination  load     150 ms" in ended.out
    assert "equal on both sides" in ended.out
    assert ended.out.endswith("guest vm1 runs on host2 now\n")
    [request] = host1.seen(START)
    assert request.options.bandwidth_limit_bytes_per_s == 100 * MIB
    assert request.options.verify
    assert request.options.tracker == migration_pb2.TRACKER_CONTENT
    assert request.options.on_timeout == migration_pb2.TIMEOUT_ACTION_ABORT


@pytest.mark.usefixtures("vm1")
async def test_how_long_the_guest_was_silent_is_told_with_from_where(
    alice: Operator, host1: FakeNode
) -> None:
    moved = completed()
    moved.options.probe_address = "10.9.0.5"
    moved.report.network_downtime_us = 231_000
    host1.streams = [[last(moved)]]
    ended = await alice.run("migrate", "vm1", "host2", "--probe-address", "10.9.0.5")
    assert "  network   10.9.0.5 was silent for 231 ms, seen from host1\n" in ended.out
    [request] = host1.seen(START)
    assert request.options.probe_address == "10.9.0.5"


@pytest.mark.usefixtures("vm1")
async def test_how_much_the_guest_was_slowed_is_told_with_for_how_long(
    alice: Operator, host1: FakeNode
) -> None:
    moved = completed()
    moved.report.throttle_percent, moved.report.throttled_us = 75, 3_200_000
    host1.streams = [[last(moved)]]
    ended = await alice.run("migrate", "vm1", "host2", "--on-timeout", "throttle")
    assert "  slowed    the guest, for 3.2 s, down to 25 % of its speed\n" in ended.out
    [request] = host1.seen(START)
    assert request.options.on_timeout == migration_pb2.TIMEOUT_ACTION_THROTTLE


def test_how_much_a_guest_is_slowed_just_now_is_told_meanwhile() -> None:
    going = migration(
        migration_pb2.PHASE_PRECOPY, progress=migration_pb2.Progress(throttle_percent=75)
    )
    assert "  slowed    the guest, to 25 % of its speed just now" in report.summary(going)


@pytest.mark.usefixtures("vm1")
@pytest.mark.parametrize("given", ["", "x"])
async def test_an_id_that_is_none_starts_nothing(
    alice: Operator, host1: FakeNode, given: str
) -> None:
    ended = await alice.run("migrate", "vm1", "host2", "--id", given)
    assert ended.code == 2
    assert f'"{given}" is not a UUID' in ended.err
    assert not host1.requests


@pytest.mark.usefixtures("vm1")
async def test_json_is_one_object_a_line_with_the_contracts_keys(
    alice: Operator, host1: FakeNode
) -> None:
    host1.streams = [[event(1, "round", "round 1", percent=10), last(completed())]]
    ended = await alice.run("migrate", "vm1", "host2", "--json", "--id", ID)
    assert ended.code == 0, ended
    started, first, result = map(json.loads, ended.out.splitlines())
    assert started["kind"] == "started"
    assert started["migration"]["id"] == ID
    assert first["kind"] == "round"
    assert first["sequence"] == 1
    assert first["phase"] == "PHASE_PRECOPY"
    assert first["progress"]["sent_bytes"] == 0
    assert result["kind"] == "result"
    assert result["migration"]["report"]["downtime_us"] == 214_000
    assert result["migration"]["side"] == "SIDE_SOURCE"


@pytest.mark.usefixtures("vm1")
async def test_a_refusal_is_an_object_with_json(alice: Operator, host1: FakeNode) -> None:
    host1.answers["StartMigration"] = Refusal("ABORTED", "GUEST_BUSY: vm1 is busy", "GUEST_BUSY")
    ended = await alice.run("migrate", "vm1", "host2", "--json")
    assert ended.code == 3
    told = json.loads(ended.out)
    assert (told["kind"], told["reason"], told["exit_code"]) == ("error", "GUEST_BUSY", 3)
    assert told["message"] == "vm1 is busy"
    assert told["location"] == "running on host1 (nothing was changed)"
    assert ended.err == ""


@pytest.mark.usefixtures("vm1")
async def test_an_aborted_migration_says_where_the_guest_is(
    alice: Operator, host1: FakeNode
) -> None:
    failure = migration_pb2.Failure(
        reason="NOT_CONVERGED",
        message="after 3600 s the downtime would still be 2 s",
        side=migration_pb2.SIDE_SOURCE,
        location="running on host1",
        advice="allow more downtime or throttle",
    )
    host1.streams = [[last(migration(migration_pb2.PHASE_ABORTED, failure=failure))]]
    ended = await alice.run("migrate", "vm1", "host2")
    assert ended.code == 4
    assert ended.out.splitlines()[-4:] == [
        "error: NOT_CONVERGED: after 3600 s the downtime would still be 2 s",
        "  guest:    vm1, running on host1",
        "  side:     source",
        "  do next:  allow more downtime or throttle",
    ]


@pytest.mark.usefixtures("vm1")
async def test_detach_prints_the_id_alone(alice: Operator, host1: FakeNode) -> None:
    ended = await alice.run("migrate", "vm1", "host2", "--detach")
    assert ended.code == 0
    [request] = host1.seen(START)
    assert ended.out == request.id + "\n"
    assert not host1.seen(WATCH)


@pytest.mark.usefixtures("vm1")
async def test_a_lost_start_is_repeated_under_the_same_id(alice: Operator, host1: FakeNode) -> None:
    lost = iter([Refusal("UNAVAILABLE", "connection reset")])

    def answer(request: migration_pb2.StartMigrationRequest) -> Any:
        started = migration_pb2.StartMigrationResponse(migration=completed())
        return next(lost, started)

    host1.answers["StartMigration"] = answer
    ended = await alice.run("migrate", "vm1", "host2", "--detach")
    assert ended.code == 0, ended
    first, second = host1.seen(START)
    assert first.id == second.id


@pytest.mark.usefixtures("vm1")
async def test_an_id_that_has_started_before_is_not_started_again(
    alice: Operator, host1: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    host1.streams = [[last(completed())]]
    ended = await alice.run("migrate", "vm1", "host2", "--id", ID)
    assert ended.code == 0, ended
    assert not host1.seen(START)


@pytest.mark.usefixtures("vm1")
async def test_an_unreachable_peer_is_a_refusal_of_the_source(
    alice: Operator, host1: FakeNode
) -> None:
    host1.answers["StartMigration"] = Refusal(
        "UNAVAILABLE", "host2 at 10.0.0.2:7443: connection refused", "PEER_UNREACHABLE"
    )
    ended = await alice.run("migrate", "vm1", "host2")
    assert ended.code == 3
    assert "PEER_UNREACHABLE" in ended.err
    assert "guest:    vm1, running on host1 (nothing was changed)" in ended.err


async def test_the_guest_is_started_from_the_node_that_has_it(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_IN)
    host2.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_OUT)
    ended = await alice.run("migrate", "vm1", "host1", "--detach")
    assert ended.code == 0, ended
    assert len(host2.seen(START)) == 1
    assert not host1.seen(START)


async def test_a_guest_that_may_be_on_a_node_out_of_reach_is_not_called_missing(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    await host2.stop()
    ended = await alice.run("migrate", "vm1", "host2")
    assert ended.code == 6
    assert "guest vm1 was not found, and host2 could not be asked" in ended.err
    assert f"host2 at {host2.address}: connection refused" in ended.err


@pytest.mark.usefixtures("host2")
async def test_a_guest_on_no_node_is_refused(alice: Operator) -> None:
    ended = await alice.run("migrate", "vm9", "host2")
    assert ended.code == 3
    assert "GUEST_UNKNOWN: guest vm9 is on none of the nodes host1, host2" in ended.err


async def test_wrong_usage_has_its_own_code(alice: Operator) -> None:
    ended = await alice.run("migrate", "vm1", "host2", "--bandwidth", "fast")
    assert ended.code == 2
    assert '"fast" is not a rate such as 100M (MiB/s)' in ended.err
