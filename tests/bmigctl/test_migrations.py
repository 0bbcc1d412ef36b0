"""`bmigctl list|show|watch|cancel|bandwidth|resolve` as processes."""

import json

import pytest
from bmig.v1 import migration_pb2

from tests.bmigctl.conftest import Operator
from tests.bmigctl.nodes import MIB, FakeNode, Refusal, last
from tests.bmigctl.samples import ID, completed, in_doubt, migration, of_destination

pytestmark = pytest.mark.slow

COMPLETED = migration_pb2.PHASE_COMPLETED
OTHER_ID = "7f3b0000-0000-4000-8000-000000000002"


def other() -> migration_pb2.Migration:
    made = migration(migration_pb2.PHASE_ABORTED)
    made.id, made.guest, made.started_at_ms = OTHER_ID, "vm2", made.started_at_ms + 1
    return made


async def test_a_migration_on_two_nodes_is_listed_once_as_the_source_tells_it(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    host2.migrations = {ID: of_destination(COMPLETED), OTHER_ID: other()}
    ended = await alice.run("list")
    assert ended.code == 0
    heading, newest, oldest = ended.out.splitlines()
    assert heading.split() == ["ID", "GUEST", "FROM", "TO", "PHASE", "STARTED", "DOWN"]
    assert newest.startswith("7f3b0000  vm2    host1  host2  aborted")
    assert oldest.startswith("7f3a0000  vm1    host1  host2  completed")
    assert oldest.endswith("214 ms")


async def test_only_one_guests_migrations_are_asked_for(alice: Operator, host1: FakeNode) -> None:
    ended = await alice.run("list", "--guest", "vm1", "--json")
    assert (ended.code, ended.out) == (0, "")
    [request] = host1.seen(migration_pb2.ListMigrationsRequest)
    assert request.guest == "vm1"


async def test_a_list_names_the_nodes_that_are_missing_in_it(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    await host2.stop()
    ended = await alice.run("list")
    assert ended.code == 0
    assert ended.err == (
        f"not asked: host2 at {host2.address}: connection refused, nothing listens there\n"
    )


async def test_a_list_names_the_nodes_that_have_more_than_they_could_tell(
    alice: Operator, host1: FakeNode
) -> None:
    host1.answers["ListMigrations"] = migration_pb2.ListMigrationsResponse(
        migrations=[completed()], left_out=True
    )
    ended = await alice.run("list")
    assert ended.code == 0
    assert ended.err == "left out: older migrations of host1; see --guest\n"


async def test_a_list_says_since_when_one_is_in_doubt_and_what_it_waits_for(
    alice: Operator, host1: FakeNode
) -> None:
    host1.migrations[ID] = in_doubt()
    host1.migrations[ID].waiting_for = "host2 to say what became of the guest (refused)"
    ended = await alice.run("list")
    *_, told = ended.out.splitlines()
    assert told.startswith("7f3a0000: in doubt since 2023-11-14 ")
    assert told.endswith("waiting for host2 to say what became of the guest (refused)")


async def test_what_goes_on_is_listed_and_shown_with_how_far_it_is(
    alice: Operator, host1: FakeNode
) -> None:
    going = host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    going.progress.percent, going.progress.round, going.progress.sent_bytes = 57, 1, 412 * MIB
    going.progress.estimated_remaining_ms = 5000
    going.waiting_for = "acknowledgement of memory from host2"
    told = "57 %, round 1, 412 MiB sent, at least 5.0 s left"
    ended = await alice.run("list")
    assert ended.out.splitlines()[2:] == [
        f"7f3a0000: {told}, waiting for acknowledgement of memory from host2"
    ]
    shown = (await alice.run("show", "7f3a")).out
    assert f"progress:     {told}\n" in shown
    assert "waiting for:  acknowledgement of memory from host2\n" in shown


async def test_show_says_that_a_guest_arrived_without_its_memory(
    alice: Operator, host1: FakeNode
) -> None:
    moved = completed()
    moved.failure.reason, moved.failure.location = "GUEST_RESTARTED", "on host2, started afresh"
    host1.migrations[ID] = moved
    ended = await alice.run("show", "7f3a")
    assert "guest vm1 runs on host2 now" in ended.out
    assert "on host2, started afresh" in ended.out


async def test_show_tells_both_sides_the_rounds_and_the_downtime(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    host1.migrations[ID].ownership = "RELEASED"
    host2.migrations[ID] = of_destination(COMPLETED, ownership="RUNNING")
    ended = await alice.run("show", "7f3a")
    assert ended.code == 0
    for words in (
        "source host1:      RELEASED (completed)",
        "destination host2: RUNNING (completed)",
        "downtime  214 ms (limit 300 ms)",
        "destination  load     150 ms",
        "1      256 MiB  0 B          2.0 s  running",
        "equal on both sides (abababababababab)",
    ):
        assert words in ended.out
    assert ended.out.endswith("guest vm1 runs on host2 now\n")


@pytest.mark.parametrize(
    ("phase", "ownership", "words"),
    [
        (migration_pb2.PHASE_PRECOPY, "RECEIVING", "host1 does not have it; where it is only"),
        (migration_pb2.PHASE_SWITCHOVER, "READY", "host1 does not have it; where it is only"),
        (migration_pb2.PHASE_HANDOFF, "TAKEN", "which starts it or runs it already"),
        (migration_pb2.PHASE_HANDOFF, "STARTED", "which starts it or runs it already"),
        (migration_pb2.PHASE_ABORTED, "REFUSED", "error: LEASE_OVER: silent"),
    ],
)
async def test_show_claims_nothing_that_only_the_source_knows(
    alice: Operator,
    host1: FakeNode,
    host2: FakeNode,
    phase: migration_pb2.Phase,
    ownership: str,
    words: str,
) -> None:
    arriving = of_destination(phase, ownership=ownership)
    arriving.source, arriving.destination = "host2", "host1"
    arriving.failure.reason, arriving.failure.message = "LEASE_OVER", "silent"
    host1.migrations[ID] = arriving
    await host2.stop()
    ended = await alice.run("show", "7f3a")
    assert ended.code == 0
    assert "goes on" not in ended.out
    assert "options" not in ended.out  # only the source knows how it is done
    assert words in ended.out
    assert ended.err.startswith("not asked: host2 at ")


async def test_show_json_has_every_record(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    host2.migrations[ID] = of_destination(COMPLETED)
    told = json.loads((await alice.run("show", ID, "--json")).out)
    assert told["migration"]["side"] == "SIDE_SOURCE"
    assert sorted(told["records"]) == ["host1", "host2"]


async def test_a_beginning_that_two_migrations_share_is_refused(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = completed()
    host2.migrations["7f3a9"] = migration_pb2.Migration(id="7f3a9", guest="vm2")
    ended = await alice.run("show", "7f3a")
    assert ended.code == 2
    assert f"{ID} (vm1), 7f3a9 (vm2)" in ended.err


@pytest.mark.parametrize("beginning", ["7f3", "xyzw", ""])
async def test_too_little_of_an_id_is_wrong_usage(alice: Operator, beginning: str) -> None:
    ended = await alice.run("show", beginning)
    assert ended.code == 2
    assert "at least 4 hexadecimal digits" in ended.err


@pytest.mark.usefixtures("host2")
async def test_an_unknown_migration_is_refused(alice: Operator) -> None:
    ended = await alice.run("show", "abcd")
    assert ended.code == 3
    assert "migration abcd is on none of the nodes host1, host2" in ended.err


async def test_a_watch_of_an_ended_migration_has_its_exit_code(
    alice: Operator, host1: FakeNode
) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_ABORTED)
    host1.streams = [[last(host1.migrations[ID])]]
    ended = await alice.run("watch", "7f3a", "--json")
    assert ended.code == 4
    assert json.loads(ended.out)["kind"] == "result"


async def test_a_source_that_is_gone_is_answered_for_by_the_destination(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_HANDOFF)
    host2.migrations[ID] = of_destination(COMPLETED, ended_at_ms=1_700_000_003_500)
    host1.streams = [[Refusal("UNAVAILABLE", "going down")]]
    answers = iter([migration_pb2.GetMigrationResponse(migration=host1.migrations[ID])])
    gone = Refusal("UNAVAILABLE", "gone")
    host1.answers["GetMigration"] = lambda _: next(answers, gone)
    ended = await alice.run("watch", "7f3a", "--patience", "0")
    assert ended.code == 0, ended
    assert ended.out.endswith("guest vm1 runs on host2 now\n")


async def test_cancel_answers_with_the_guest_where_it_was(alice: Operator, host1: FakeNode) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    failure = migration_pb2.Failure(reason="CANCELLED", location="running on host1")
    cancelled = migration(migration_pb2.PHASE_ABORTED, failure=failure)
    host1.answers["CancelMigration"] = migration_pb2.CancelMigrationResponse(migration=cancelled)
    ended = await alice.run("cancel", "7f3a")
    assert (ended.code, ended.out) == (0, "cancelled: guest vm1 is running on host1\n")
    [request] = host1.seen(migration_pb2.CancelMigrationRequest)
    assert request.id == ID


async def test_a_cancellation_that_comes_too_late_is_refused(
    alice: Operator, host1: FakeNode
) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_HANDOFF)
    host1.answers["CancelMigration"] = Refusal(
        "FAILED_PRECONDITION", "guest vm1 was let go already", "TOO_LATE"
    )
    ended = await alice.run("cancel", "7f3a")
    assert ended.code == 3
    assert "TOO_LATE: guest vm1 was let go already" in ended.err
    assert "guest:    vm1" in ended.err


@pytest.mark.parametrize(
    ("rate", "sent", "words"),
    [
        ("100M", 100 << 20, "at most 100 MiB/s"),
        ("none", 0, "as fast as it goes"),
    ],
)
async def test_bandwidth_changes_the_limit(
    alice: Operator, host1: FakeNode, rate: str, sent: int, words: str
) -> None:
    going_on = migration(migration_pb2.PHASE_PRECOPY)
    host1.migrations[ID] = going_on
    host1.answers["LimitBandwidth"] = migration_pb2.LimitBandwidthResponse(migration=going_on)
    ended = await alice.run("bandwidth", "7f3a", rate)
    assert (ended.code, ended.out) == (0, f"guest vm1 is copied {words}\n")
    [request] = host1.seen(migration_pb2.LimitBandwidthRequest)
    assert (request.id, request.bandwidth_limit_bytes_per_s) == (ID, sent)


async def test_a_change_of_bandwidth_that_comes_too_late_is_refused(
    alice: Operator, host1: FakeNode
) -> None:
    host1.migrations[ID] = migration(COMPLETED)
    host1.answers["LimitBandwidth"] = Refusal(
        "FAILED_PRECONDITION", "it sends nothing any more", "MIGRATION_OVER"
    )
    ended = await alice.run("bandwidth", "7f3a", "1M", "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["kind"], told["reason"]) == (3, "error", "MIGRATION_OVER")
    assert told["guest"] == "vm1"


async def test_bandwidth_needs_the_source(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host2.migrations[ID] = of_destination(migration_pb2.PHASE_PRECOPY)
    ended = await alice.run("bandwidth", "7f3a", "1M")
    assert ended.code == 3
    assert "host1 could not be asked, and only it can change how fast it sends vm1" in ended.err
    assert not [
        *host1.seen(migration_pb2.LimitBandwidthRequest),
        *host2.seen(migration_pb2.LimitBandwidthRequest),
    ]


async def test_bandwidth_json_has_the_migration(alice: Operator, host1: FakeNode) -> None:
    going_on = migration(migration_pb2.PHASE_PRECOPY)
    going_on.options.bandwidth_limit_bytes_per_s = 1 << 20
    host1.migrations[ID] = going_on
    host1.answers["LimitBandwidth"] = migration_pb2.LimitBandwidthResponse(migration=going_on)
    told = json.loads((await alice.run("bandwidth", "7f3a", "1M", "--json")).out)
    assert told["kind"] == "result"
    assert told["migration"]["options"]["bandwidth_limit_bytes_per_s"] == 1 << 20


@pytest.mark.parametrize("rate", ["fast", "-1", f"{1 << 24}T"])
async def test_bandwidth_of_no_rate_asks_nobody(
    alice: Operator, host1: FakeNode, rate: str
) -> None:
    ended = await alice.run("bandwidth", "7f3a", "--", rate)
    assert ended.code == 2
    assert "not a rate such as 100M (MiB/s) or 1G (GiB/s), or none" in ended.err
    assert not host1.seen(migration_pb2.LimitBandwidthRequest)


async def test_resolve_sends_the_confirmed_name(alice: Operator, host1: FakeNode) -> None:
    host1.migrations[ID] = in_doubt()
    settled = migration(migration_pb2.PHASE_ABORTED)
    host1.answers["ResolveMigration"] = migration_pb2.ResolveMigrationResponse(migration=settled)
    ended = await alice.run("resolve", "7f3a", "--run-here", "--confirm", "vm1")
    assert ended.code == 0, ended
    [request] = host1.seen(migration_pb2.ResolveMigrationRequest)
    assert (request.id, request.confirm_guest) == (ID, "vm1")
    assert "guest vm1 belongs to host1" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--run-here", "--confirm", "vm2"), 2),  # another guest
        (("--run-here",), 2),  # nobody there to confirm
        (("--confirm", "vm1"), 2),  # not said what to do
    ],
)
async def test_resolve_without_the_right_word_asks_nobody(
    alice: Operator, host1: FakeNode, arguments: tuple[str, ...], code: int
) -> None:
    host1.migrations[ID] = in_doubt()
    ended = await alice.run("resolve", "7f3a", *arguments)
    assert ended.code == code
    assert "error:" in ended.err.lower()
    assert not host1.seen(migration_pb2.ResolveMigrationRequest)


@pytest.mark.parametrize("confirm", [(), ("--confirm", "vm1")])
async def test_of_what_is_not_in_doubt_the_node_says_so_and_nobody_is_asked_to_confirm(
    alice: Operator, host1: FakeNode, confirm: tuple[str, ...]
) -> None:
    """One that was resolved before is resolved: said twice it is the same."""
    host1.migrations[ID] = completed()
    refusal = Refusal("FAILED_PRECONDITION", "nothing to resolve", "NOT_IN_DOUBT")
    host1.answers["ResolveMigration"] = refusal
    ended = await alice.run("resolve", "7f3a", "--run-here", *confirm)
    assert ended.code == 3
    assert "NOT_IN_DOUBT: nothing to resolve" in ended.err
    assert "Type the guest" not in ended.err
    [request] = host1.seen(migration_pb2.ResolveMigrationRequest)
    assert request.confirm_guest == (confirm[-1] if confirm else "")


async def test_resolve_needs_the_source(alice: Operator, host1: FakeNode, host2: FakeNode) -> None:
    host2.migrations[ID] = of_destination(migration_pb2.PHASE_HANDOFF)
    ended = await alice.run("resolve", "7f3a", "--run-here", "--confirm", "vm1")
    assert ended.code == 3
    assert "only it can run vm1 again" in ended.err
    assert not host1.seen(migration_pb2.ResolveMigrationRequest)
