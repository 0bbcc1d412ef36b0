"""Every request may be repeated and gets the same answer, while a migration goes on and afterwards;
one of another epoch is refused with STALE_EPOCH and changes nothing.
"""

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bmig.v1 import (
    guest_pb2,
    guest_pb2_grpc,
    migration_pb2,
    migration_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    peer_pb2,
)
from google.protobuf.message import Message

from tests.e2e.dial import dial
from tests.e2e.network.twice import Twice, answers, steady
from tests.e2e.network.world import ANYHOW, World, network

pytestmark = pytest.mark.e2e

OVER = {"ReceiveGuest", "DeliverState", "StreamMemory"}  # a migration that has ended takes nothing
REQUESTS: dict[str, Any] = {
    "ReceiveGuest": peer_pb2.ReceiveGuestRequest,
    "StreamMemory": peer_pb2.StreamMemoryRequest,
    "DeliverState": peer_pb2.DeliverStateRequest,
    "Commit": peer_pb2.CommitRequest,
    "QueryOutcome": peer_pb2.QueryOutcomeRequest,
    "Abort": peer_pb2.AbortRequest,
}


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with network(relayed=True) as made:
        made.cluster.make_guest("vm1", "host1")
        made.cluster.make_guest("vm9", "host2")
        yield made


@pytest.fixture(name="moved", scope="module")
def make_moved(world: World) -> Iterator[Twice]:
    """A migration of vm1 to host2 whose every request was made three times."""
    with dial(world.cluster, "host2", "nodes/host1") as direct:
        twice = world.relays["host1"].damage = Twice(direct)
        moved = world.cluster.migrate("vm1", "host2", *ANYHOW)
        assert moved["phase"] == "PHASE_COMPLETED"
        world.mend()
        aborted = {"migration_id": moved["id"], "epoch": int(moved["epoch"])}
        twice.kept["Abort"] = ([peer_pb2.AbortRequest(**aborted).SerializeToString()], [])
        yield twice


def journal_of(world: World) -> list[tuple[Any, ...]]:
    found = []
    for node in world.cluster.nodes.values():
        path: Path = node.directory / "state/journal.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        found += connection.execute("SELECT * FROM migrations").fetchall()
        connection.close()
    return found


def test_every_peer_request_gets_the_same_answer_twice_while_a_migration_goes_on(
    moved: Twice,
) -> None:
    assert set(moved.kept) >= {"ExchangeCapabilities", *REQUESTS}
    assert moved.differing == []


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize("method", REQUESTS)
def test_every_peer_request_gets_the_same_answer_after_the_end(
    world: World, moved: Twice, method: str, *, restarted: bool
) -> None:
    if restarted and method == next(iter(REQUESTS)):
        world.cluster.nodes["host2"].stop()
        world.cluster.nodes["host2"].start()
    before = journal_of(world)
    request, _ = moved.kept[method]
    first = answers(moved.channel, method, request)
    again = answers(moved.channel, method, request)
    assert steady(method, again) == steady(method, first)
    if method in OVER:
        assert first == [b"MIGRATION_OVER"]
    elif method == "Commit":
        told = moved.kept["Commit"][1]
        assert steady(method, first) == steady(method, told)  # parts of the downtime and all
        for_us = [
            peer_pb2.CommitResponse.FromString(one[0]).running_for_us for one in (told, again)
        ]
        assert 0 < for_us[0] < for_us[1]
    else:
        outcome = peer_pb2.AbortResponse.FromString(first[0]).outcome
        assert outcome == peer_pb2.OUTCOME_RUNNING
    assert journal_of(world) == before


@pytest.mark.parametrize("method", REQUESTS)
def test_a_late_request_of_an_old_epoch_is_refused_and_changes_nothing(
    world: World, moved: Twice, method: str
) -> None:
    before = journal_of(world)
    messages, _ = moved.kept[method]
    late = REQUESTS[method].FromString(messages[0])
    old = {"DeliverState": lambda: late.header, "StreamMemory": lambda: late.chunks[0]}
    old.get(method, lambda: late)().epoch -= 1
    request = [late.SerializeToString(), *messages[1:]]
    assert answers(moved.channel, method, request) == [b"STALE_EPOCH"]
    if method == "ReceiveGuest":  # under a new id too
        late.migration_id = str(uuid.uuid4())
        request = [late.SerializeToString()]
        assert answers(moved.channel, method, request)[0] in (b"STALE_EPOCH", b"NAME_TAKEN")
    assert journal_of(world) == before
    assert world.cluster.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}


def _node_calls() -> dict[str, tuple[str, Message]]:
    """Operators' calls, by name; each with the node that is asked."""
    return {
        "NodeService/GetNode": ("host1", node_pb2.GetNodeRequest()),
        "NodeService/ListGuests": ("host2", node_pb2.ListGuestsRequest()),
        "NodeService/GetGuest": ("host2", node_pb2.GetGuestRequest(name="vm1")),
    }


def _guest_calls(made: guest_pb2.GuestDefinition) -> dict[str, tuple[str, Message]]:
    """Those about guests: one that is there, and one that has left."""
    stop = guest_pb2.StopGuestRequest(name="vm9", force=True)
    return {
        "GuestService/DefineGuest": ("host2", guest_pb2.DefineGuestRequest(definition=made)),
        "GuestService/RecoverGuest": ("host1", guest_pb2.RecoverGuestRequest(name="vm1")),
        "GuestService/StartGuest": ("host2", guest_pb2.StartGuestRequest(name="vm9")),
        "GuestService/StopGuest": ("host2", stop),
    }


def _starts(done: str) -> dict[str, tuple[str, Message]]:
    """Those that check or start a migration: of a guest, and of one that is not there any more."""
    check = migration_pb2.CheckMigrationRequest(guest="vm1", destination="host1")
    start = migration_pb2.StartMigrationRequest(id=done, guest="vm1", destination="host2")
    unknown = migration_pb2.StartMigrationRequest(
        id=str(uuid.uuid4()), guest="vm1", destination="host2"
    )
    return {
        "MigrationService/CheckMigration": ("host2", check),
        "MigrationService/StartMigration": ("host1", start),
        "MigrationService/StartMigration of a guest that is not there": ("host1", unknown),
    }


def _looks_at(done: str) -> dict[str, tuple[str, Message]]:
    """Those that ask how a migration went."""
    return {
        "MigrationService/GetMigration": ("host1", migration_pb2.GetMigrationRequest(id=done)),
        "MigrationService/ListMigrations": ("host1", migration_pb2.ListMigrationsRequest()),
        "MigrationService/WatchMigration": ("host1", migration_pb2.WatchMigrationRequest(id=done)),
    }


def _changes_of(done: str) -> dict[str, tuple[str, Message]]:
    """Those that would change it."""
    cancel = migration_pb2.CancelMigrationRequest(id=done)
    limit = migration_pb2.LimitBandwidthRequest(id=done, bandwidth_limit_bytes_per_s=1)
    resolve = migration_pb2.ResolveMigrationRequest(id=done, confirm_guest="vm1")
    return {
        "MigrationService/CancelMigration": ("host1", cancel),
        "MigrationService/LimitBandwidth": ("host1", limit),
        "MigrationService/ResolveMigration": ("host1", resolve),
    }


def _calls(world: World) -> dict[str, tuple[str, Message]]:
    """All of them, of a migration that has ended and its guest."""
    done = world.cluster.migrations("vm1")[0]["id"]
    with dial(world.cluster, "host2", "operators/alice") as asking:
        request = [node_pb2.GetGuestRequest(name="vm9").SerializeToString()]
        (said,) = answers(asking, "/bmig.v1.NodeService/GetGuest", request)
    made = node_pb2.GetGuestResponse.FromString(said).guest.definition
    about = {**_starts(done), **_looks_at(done), **_changes_of(done)}
    return {**_node_calls(), **_guest_calls(made), **about}


def _known_methods() -> set[str]:
    services = (node_pb2_grpc, guest_pb2_grpc, migration_pb2_grpc)
    assert services
    descriptors = (node_pb2.DESCRIPTOR, guest_pb2.DESCRIPTOR, migration_pb2.DESCRIPTOR)
    return {
        f"{service.name}/{method.name}"
        for descriptor in descriptors
        for service in descriptor.services_by_name.values()
        for method in service.methods
    }


# Undefining has no id: who asks again is told that there is no such guest. A console is live.
EXCEPT = {"GuestService/UndefineGuest", "GuestService/AttachConsole"}


def test_every_operators_request_gets_the_same_answer_twice(world: World, moved: Twice) -> None:
    calls = _calls(world)
    assert {name.partition(" ")[0] for name in calls} == _known_methods() - EXCEPT
    differing = {}
    for name, (node, asked) in calls.items():
        with dial(world.cluster, node, "operators/alice") as asking:
            path, request = "/bmig.v1." + name.partition(" ")[0], [asked.SerializeToString()]
            first, second = (_calm(name, answers(asking, path, request)) for _ in range(2))
        if first != second:
            differing[name] = (first, second)
    assert differing == {}
    with dial(world.cluster, "host2", "operators/alice") as asking:
        request = [guest_pb2.UndefineGuestRequest(name="vm9").SerializeToString()]
        path = "/bmig.v1.GuestService/UndefineGuest"
        assert answers(asking, path, request) == [b""]
        assert answers(asking, path, request) == [b"GUEST_UNKNOWN"]
    assert moved.kept


def _calm(name: str, said: list[bytes]) -> object:
    """Without what is of the moment: room that is left, and clocks that are compared."""
    if name == "NodeService/GetNode":
        node = node_pb2.GetNodeResponse.FromString(said[0]).node
        for volatile in ("memory_available_bytes", "spool_available_bytes"):
            node.ClearField(volatile)
        return node.SerializeToString()
    if name == "MigrationService/CheckMigration":
        checked = migration_pb2.CheckMigrationResponse.FromString(said[0])
        return [(one.check, one.verdict, one.reason) for one in checked.findings]
    return said


def test_a_finished_migration_started_again_is_told_though_history_was_lost(
    world: World, moved: Twice
) -> None:
    done = world.cluster.migrations("vm1")[0]["id"]
    request = migration_pb2.StartMigrationRequest(id=done, guest="vm1", destination="host2")
    node = world.cluster.nodes["host1"]
    node.stop()
    for path in (node.directory / "state").glob("history.sqlite*"):
        path.unlink()
    node.start()
    with dial(world.cluster, "host1", "operators/alice") as asking:
        path_of = "/bmig.v1.MigrationService/StartMigration"
        said = [answers(asking, path_of, [request.SerializeToString()]) for _ in range(2)]
    assert said[0] == said[1]
    told = migration_pb2.StartMigrationResponse.FromString(said[0][0]).migration
    assert (told.id, told.phase) == (done, migration_pb2.PHASE_COMPLETED)
    assert (told.ownership, told.source, told.destination) == ("RELEASED", "host1", "host2")
    assert world.cluster.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    assert moved.kept
