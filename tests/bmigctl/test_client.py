"""The library as another program uses it."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from bmig.v1 import migration_pb2
from bmigctl import config
from bmigctl.client import Client, exit_code
from bmigctl.errors import Refused, Unreachable
from bmigctl.watch import Patience, StreamLost

from tests.bmigctl.conftest import Operator
from tests.bmigctl.nodes import FakeNode, Refusal, event, guest, last
from tests.bmigctl.samples import ID, completed, in_doubt, migration

pytestmark = pytest.mark.slow


@pytest.fixture
async def client(alice: Operator, host2: FakeNode) -> AsyncIterator[Client]:
    """A client that knows host1 and hears of host2."""
    async with Client(config.load(alice.config)) as client:
        yield client


async def test_a_guest_is_found_on_a_node_that_was_not_configured(
    client: Client, host2: FakeNode
) -> None:
    host2.guests["vm1"] = guest("vm1")
    found = await client.find_guest("vm1")
    assert (found.node.name, found.guest.epoch) == ("host2", 1)


async def test_start_and_wait_end_with_the_migration(client: Client, host1: FakeNode) -> None:
    host1.guests["vm1"] = guest("vm1")
    host1.streams = [[event(1, "round", "one"), last(completed())]]
    started = await client.start("vm1", "host2")
    ended = await client.wait(started)
    assert exit_code(ended) == 0
    assert ended.report.downtime_us == 214_000


async def test_another_use_of_an_id_is_refused(client: Client, host1: FakeNode) -> None:
    host1.migrations[ID] = completed()
    with pytest.raises(Refused, match="is the migration of vm1 to host2"):
        await client.start("vm2", "host2", migration_id=ID)


async def test_cancel_takes_the_beginning_of_an_id(client: Client, host1: FakeNode) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    aborted = migration(migration_pb2.PHASE_ABORTED)
    host1.answers["CancelMigration"] = migration_pb2.CancelMigrationResponse(migration=aborted)
    assert (await client.cancel("7f3a")).phase == migration_pb2.PHASE_ABORTED


async def test_a_watcher_without_patience_is_told_that_the_node_stays_away(
    client: Client, host1: FakeNode
) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    found = await client.find_migration(ID)
    host1.streams = [[event(1, "round", "one")]]  # ends without the migration
    async with aclosing(client.watch(found, Patience(unreachable_s=0))) as watching:
        assert isinstance(await anext(watching), migration_pb2.Event)
        with pytest.raises(Unreachable, match="the node ended the stream"):
            await anext(watching)


async def test_an_error_of_the_node_ends_a_watch(client: Client, host1: FakeNode) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    found = await client.find_migration(ID)
    host1.streams = [[Refusal("PERMISSION_DENIED", "not yours", "DENIED")]]
    with pytest.raises(Refused, match="DENIED: not yours"):
        await client.wait(found)


async def test_progress_samples_do_not_move_where_a_watch_is_taken_up(
    client: Client, host1: FakeNode
) -> None:
    host1.migrations[ID] = migration(migration_pb2.PHASE_PRECOPY)
    found = await client.find_migration(ID)
    lost = Refusal("UNAVAILABLE", "going down")
    host1.streams = [
        [event(1, "round", "one"), event(0, "progress", percent=10), lost],
        [event(0, "progress", percent=20), event(2, "round", "two"), last(completed())],
    ]
    updates = [update async for update in client.watch(found)]
    watches = host1.seen(migration_pb2.WatchMigrationRequest)
    assert [request.after_sequence for request in watches] == [0, 1]
    kept = [u.sequence for u in updates if isinstance(u, migration_pb2.Event) and u.sequence]
    assert kept == [1, 2]
    assert any(isinstance(update, StreamLost) for update in updates)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (completed(), 0),
        (migration(migration_pb2.PHASE_ABORTED), 4),
        (in_doubt(), 5),
        (migration(migration_pb2.PHASE_PRECOPY), 1),
    ],
)
def test_every_end_has_its_exit_code(ended: migration_pb2.Migration, code: int) -> None:
    assert exit_code(ended) == code
