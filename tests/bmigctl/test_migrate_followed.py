"""`bmigctl migrate` follows a migration to its end, through doubts, broken connections and restarts
of the daemon; who stops watching ends nothing.
"""

import asyncio
import signal

import pytest
from bmig.v1 import migration_pb2

from tests.bmigctl.conftest import Operator, finish
from tests.bmigctl.nodes import FakeNode, Refusal, event, last
from tests.bmigctl.samples import completed, migration

pytestmark = pytest.mark.slow  # each test starts the command as an operator does

WATCH = migration_pb2.WatchMigrationRequest


@pytest.mark.usefixtures("vm1")
async def test_a_lasting_doubt_is_told_and_has_its_own_code(
    alice: Operator, host1: FakeNode
) -> None:
    doubtful = migration(migration_pb2.PHASE_HANDOFF, in_doubt_since_ms=1_700_000_003_000)
    never = asyncio.Event()
    doubt = event(2, "in doubt", "waiting for host2", migration_pb2.PHASE_HANDOFF)
    doubt.migration.CopyFrom(doubtful)
    host1.streams = [[event(1, "phase", "let go", migration_pb2.PHASE_HANDOFF), doubt, never]]
    host1.answers["GetMigration"] = migration_pb2.GetMigrationResponse(migration=doubtful)
    ended = await alice.run("migrate", "vm1", "host2", "--doubt-wait", "0")
    assert ended.code == 5
    assert "IN DOUBT since" in ended.out
    assert "resolve" in ended.out


@pytest.mark.usefixtures("vm1")
async def test_a_doubt_that_is_over_is_followed_to_the_end(
    alice: Operator, host1: FakeNode
) -> None:
    doubtful = migration(migration_pb2.PHASE_HANDOFF, in_doubt_since_ms=1_700_000_003_000)
    doubt = event(1, "in doubt", "waiting for host2", migration_pb2.PHASE_HANDOFF)
    doubt.migration.CopyFrom(doubtful)
    host1.streams = [[doubt, event(2, "ended", "it runs there"), last(completed())]]
    host1.answers["GetMigration"] = migration_pb2.GetMigrationResponse(migration=completed())
    ended = await alice.run("migrate", "vm1", "host2", "--doubt-wait", "0")
    assert ended.code == 0, ended
    assert "in doubt: host2" in ended.err


@pytest.mark.usefixtures("vm1")
async def test_a_broken_watch_is_taken_up_behind_the_last_event(
    alice: Operator, host1: FakeNode
) -> None:
    host1.streams = [
        [event(1, "round", "one"), event(2, "round", "two"), Refusal("UNAVAILABLE", "going down")],
        [event(2, "round", "two"), event(3, "round", "three"), last(completed())],
    ]
    ended = await alice.run("migrate", "vm1", "host2")
    assert ended.code == 0, ended
    assert [request.after_sequence for request in host1.seen(WATCH)] == [0, 2]
    told = [line.rpartition(": ")[2] for line in ended.out.splitlines() if "round: " in line]
    assert told == ["one", "two", "three"]
    assert "lost host1" in ended.err
    assert "host1 answers again" in ended.err


@pytest.mark.usefixtures("vm1")
async def test_a_watch_survives_a_restart_of_the_daemon(alice: Operator, host1: FakeNode) -> None:
    never = asyncio.Event()
    host1.streams = [[event(1, "round", "one"), never], [last(completed())]]
    process = await alice.start("migrate", "vm1", "host2")
    assert process.stdout is not None
    while b"round: one" not in await process.stdout.readline():
        pass
    await host1.stop()
    assert process.stderr is not None
    assert b"lost host1: " in await process.stderr.readline()
    await host1.start()
    ended = await finish(process)
    assert ended.code == 0, ended
    assert "host1 answers again" in ended.err


@pytest.mark.usefixtures("vm1")
async def test_a_node_that_stays_away_is_given_up_with_what_to_do(
    alice: Operator, host1: FakeNode
) -> None:
    host1.streams = [[event(1, "round", "one"), Refusal("UNAVAILABLE", "going down")]]
    ended = await alice.run("migrate", "vm1", "host2", "--patience", "0")
    assert ended.code == 6
    assert "the migration goes on whoever watches" in ended.err
    assert "bmigctl watch " in ended.err


@pytest.mark.usefixtures("vm1")
async def test_interrupting_ends_the_watching_and_not_the_migration(
    alice: Operator, host1: FakeNode
) -> None:
    host1.streams = [[event(1, "round", "one"), asyncio.Event()]]
    process = await alice.start("migrate", "vm1", "host2")
    assert process.stdout is not None
    while b"round: one" not in await process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    ended = await finish(process)
    assert ended.code == 130
    assert "the migration of vm1 goes on" in ended.err
    assert "cancel: bmigctl cancel " in ended.err
    assert not host1.seen(migration_pb2.CancelMigrationRequest)
