"""Every request may be repeated and gets the same answer, while a migration goes on and afterwards;
one of another epoch is refused with STALE_EPOCH and changes nothing.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
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
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.cluster import Cluster
from tests.e2e.network.world import ANYHOW, World, network
from tests.e2e.relay import Sound

pytestmark = pytest.mark.e2e

PEER = "/bmig.v1.PeerService/"
OVER = {"ReceiveGuest", "DeliverState", "StreamMemory"}  # a migration that has ended takes nothing
ON_ITS_WAY = [
    *(peer_pb2.OUTCOME_RECEIVING, peer_pb2.OUTCOME_READY),
    *(peer_pb2.OUTCOME_TAKEN, peer_pb2.OUTCOME_RUNNING),
]
VOLATILE = {"clock_ms", "memory_available_bytes", "spool_available_bytes"}
REQUESTS: dict[str, Any] = {
    "ReceiveGuest": peer_pb2.ReceiveGuestRequest,
    "StreamMemory": peer_pb2.StreamMemoryRequest,
    "DeliverState": peer_pb2.DeliverStateRequest,
    "Commit": peer_pb2.CommitRequest,
    "QueryOutcome": peer_pb2.QueryOutcomeRequest,
    "Abort": peer_pb2.AbortRequest,
}


@dataclass
class Twice(Sound):
    """Makes every call but streams of memory twice, and keeps what was said."""

    channel: grpc.Channel
    kept: dict[str, tuple[list[bytes], list[bytes]]] = field(default_factory=dict)  # the latest
    differing: list[str] = field(default_factory=list)

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if method == "StreamMemory":
            return self._noting(messages)
        made = list(messages)
        first = answers(self.channel, method, made)
        second = answers(self.channel, method, made)
        self.kept[method] = (made, first)
        if not _is_same(method, first, second):
            self.differing.append(f"{method}: {first!r}, then {second!r}")
        return iter(made)

    def _noting(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            self.kept.setdefault("StreamMemory", ([message], []))
            yield message


def _is_same(method: str, first: list[bytes], second: list[bytes]) -> bool:
    """Whether an answer was repeated; between two questions the migration itself may go on."""
    if method != "QueryOutcome":
        return _steady(method, first) == _steady(method, second)
    said = [peer_pb2.QueryOutcomeResponse.FromString(answer[0]) for answer in (first, second)]
    outcomes = [ON_ITS_WAY.index(one.outcome) for one in said]
    return outcomes == sorted(outcomes) and not any(one.HasField("failure") for one in said)


def _steady(method: str, answer: list[bytes]) -> object:
    if method != "ExchangeCapabilities":
        return answer
    facts = peer_pb2.ExchangeCapabilitiesResponse.FromString(answer[0]).facts
    for name in VOLATILE:
        facts.ClearField(name)
    return facts.SerializeToString()


def answers(channel: grpc.Channel, method: str, messages: list[bytes]) -> list[bytes]:
    """What a node says; an error as its reason."""
    path = method if method.startswith("/") else PEER + method
    call: Any = channel.stream_stream(path, None, None)
    try:
        return list(call(iter(messages), timeout=60))
    except grpc.RpcError as error:
        return [reason_of(error).encode()]


def reason_of(error: Any) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status
    assert status.details[0].Unpack(info), status
    return str(info.reason)


def channel(world: Cluster, who: str, node: str) -> grpc.Channel:
    """To a node's own port, as a node or an operator."""
    pair = world.certs / ("nodes" if who in world.nodes else "operators") / who
    credentials = grpc.ssl_channel_credentials(
        (world.certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    options = [("grpc.ssl_target_name_override", node)]
    return grpc.secure_channel(f"127.0.0.1:{world.nodes[node].port}", credentials, options)


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[World]:
    with network(relayed=True) as made:
        made.cluster.make_guest("vm1", "host1")
        made.cluster.make_guest("vm9", "host2")
        yield made


@pytest.fixture(name="moved", scope="module")
def make_moved(world: World) -> Iterator[Twice]:
    """A migration of vm1 to host2 whose every request was made three times."""
    with channel(world.cluster, "host1", "host2") as direct:
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
    assert answers(moved.channel, method, request) == first
    if method in OVER:
        assert first == [b"MIGRATION_OVER"]
    elif method == "Commit":
        assert first == moved.kept["Commit"][1]  # parts of the downtime and all
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
    old = late.header if method == "DeliverState" else late
    old.epoch -= 1
    request = [late.SerializeToString(), *messages[1:]]
    assert answers(moved.channel, method, request) == [b"STALE_EPOCH"]
    if method == "ReceiveGuest":  # under a new id too
        late.migration_id = str(uuid.uuid4())
        request = [late.SerializeToString()]
        assert answers(moved.channel, method, request)[0] in (b"STALE_EPOCH", b"NAME_TAKEN")
    assert journal_of(world) == before
    assert world.cluster.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}


def _calls(world: World) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Operators' calls, by name; each with the node that is asked, of a migration and a guest."""
    done = world.cluster.migrations("vm1")[0]["id"]
    with channel(world.cluster, "alice", "host2") as asking:
        request = [node_pb2.GetGuestRequest(name="vm9").SerializeToString()]
        (said,) = answers(asking, "/bmig.v1.NodeService/GetGuest", request)
    made = node_pb2.GetGuestResponse.FromString(said).guest.definition
    start = migration_pb2.StartMigrationRequest(id=done, guest="vm1", destination="host2")
    unknown = migration_pb2.StartMigrationRequest(
        id=str(uuid.uuid4()), guest="vm1", destination="host2"
    )
    return {
        "NodeService/GetNode": ("host1", node_pb2.GetNodeRequest),
        "NodeService/ListGuests": ("host2", node_pb2.ListGuestsRequest),
        "NodeService/GetGuest": ("host2", lambda: node_pb2.GetGuestRequest(name="vm1")),
        "GuestService/DefineGuest": (
            "host2",
            lambda: guest_pb2.DefineGuestRequest(definition=made),
        ),
        "GuestService/RecoverGuest": (
            "host1",
            lambda: guest_pb2.RecoverGuestRequest(name="vm1"),
        ),
        "GuestService/StartGuest": ("host2", lambda: guest_pb2.StartGuestRequest(name="vm9")),
        "GuestService/StopGuest": (
            "host2",
            lambda: guest_pb2.StopGuestRequest(name="vm9", force=True),
        ),
        "MigrationService/CheckMigration": (
            "host2",
            lambda: migration_pb2.CheckMigrationRequest(guest="vm1", destination="host1"),
        ),
        "MigrationService/StartMigration": ("host1", lambda: start),
        "MigrationService/StartMigration of a guest that is not there": ("host1", lambda: unknown),
        "MigrationService/GetMigration": (
            "host1",
            lambda: migration_pb2.GetMigrationRequest(id=done),
        ),
        "MigrationService/ListMigrations": ("host1", migration_pb2.ListMigrationsRequest),
        "MigrationService/WatchMigration": (
            "host1",
            lambda: migration_pb2.WatchMigrationRequest(id=done),
        ),
        "MigrationService/CancelMigration": (
            "host1",
            lambda: migration_pb2.CancelMigrationRequest(id=done),
        ),
        "MigrationService/LimitBandwidth": (
            "host1",
            lambda: migration_pb2.LimitBandwidthRequest(id=done, bandwidth_limit_bytes_per_s=1),
        ),
        "MigrationService/ResolveMigration": (
            "host1",
            lambda: migration_pb2.ResolveMigrationRequest(id=done, confirm_guest="vm1"),
        ),
    }


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
    for name, (node, make) in calls.items():
        with channel(world.cluster, "alice", node) as asking:
            path, request = "/bmig.v1." + name.partition(" ")[0], [make().SerializeToString()]
            first, second = (_calm(name, answers(asking, path, request)) for _ in range(2))
        if first != second:
            differing[name] = (first, second)
    assert differing == {}
    with channel(world.cluster, "alice", "host2") as asking:
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
    with channel(world.cluster, "alice", "host1") as asking:
        path_of = "/bmig.v1.MigrationService/StartMigration"
        said = [answers(asking, path_of, [request.SerializeToString()]) for _ in range(2)]
    assert said[0] == said[1]
    told = migration_pb2.StartMigrationResponse.FromString(said[0][0]).migration
    assert (told.id, told.phase) == (done, migration_pb2.PHASE_COMPLETED)
    assert (told.ownership, told.source, told.destination) == ("RELEASED", "host1", "host2")
    assert world.cluster.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
    assert moved.kept
