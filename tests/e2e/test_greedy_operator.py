"""An operator `mallory`, with a good certificate and few rights, who wants a node's time, memory,
disk or secrets: mallory gets little, and nobody else waits.
"""

import asyncio
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator

import grpc
import pytest
from bmig.v1 import (
    guest_pb2,
    guest_pb2_grpc,
    migration_pb2,
    migration_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
)

from bmigd.rpc.load import MOST_CALLS
from tests.cluster import Cluster
from tests.e2e.attacked import attacked, definition, rss_mib
from tests.e2e.dial import dial, dial_apart
from tests.microguest import make_files

pytestmark = pytest.mark.e2e
GET_NODE = "/bmig.v1.NodeService/GetNode"


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """vm1 runs on host1."""
    with attacked() as made:
        yield made


def test_an_operator_defines_nothing_that_reaches_the_host(world: Cluster) -> None:
    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host1", "operators/mallory"))
    rom = world.storage / "vm1.rom"
    stolen = definition("x", rom)
    disk = stolen.devices.add(slot="4", emulation="virtio-blk")
    disk.disk.storage, disk.disk.image = "shared", "vm1.img"
    share = definition("x", rom)
    share.devices.add(slot="4", emulation="virtio-9p", options=["root=/"])
    for reaching in (definition("x", "/dev/zero"), stolen, share):
        with pytest.raises(grpc.RpcError) as refused:
            stub.DefineGuest(guest_pb2.DefineGuestRequest(definition=reaching), timeout=5)
        assert "GUEST_NOT_MIGRATABLE" in str(refused.value.details())


def test_who_has_no_right_does_not_fill_the_log(world: Cluster) -> None:
    node = world.nodes["host2"]
    stub = node_pb2_grpc.NodeServiceStub(dial(world, "host2", "operators/nobody"))
    before = len(node.log)
    for name in ("\U000e0001" * 60_000, "a" * 250_000):
        with pytest.raises(grpc.RpcError, match="at most 64 characters"):
            stub.GetGuest(node_pb2.GetGuestRequest(name=name), timeout=10)
    assert len(node.log) - before < 5_000


def test_nothing_is_kept_of_guests_that_do_not_exist(world: Cluster) -> None:
    """An allocator takes some 130 MiB until it has what it needs; names that are kept are 360."""
    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host2", "operators/mallory"))
    sent = 0
    before = rss_mib(world.nodes["host2"])
    for number in range(1500):
        request = guest_pb2.StopGuestRequest(name=f"x{number}" + "a" * 250_000)
        with pytest.raises(grpc.RpcError, match="at most 64 characters"):
            stub.StopGuest(request, timeout=9)
        sent += request.ByteSize()
    assert rss_mib(world.nodes["host2"]) - before < (sent >> 20) * 3 // 4


def test_an_operator_of_few_guests_learns_no_names(world: Cluster) -> None:
    started = world.migrate("vm1", "host2")["id"]
    world.migrate("vm1", "host1")
    stub = migration_pb2_grpc.MigrationServiceStub(dial(world, "host1", "operators/mallory"))
    for some in (started, started[:4]):
        with pytest.raises(grpc.RpcError, match="MIGRATION_UNKNOWN") as refused:
            stub.GetMigration(migration_pb2.GetMigrationRequest(id=some), timeout=5)
        assert "vm1" not in str(refused.value.details())
    taken = migration_pb2.StartMigrationRequest(id=started, guest="x", destination="host2")
    with pytest.raises(grpc.RpcError, match="ID_TAKEN") as refused:
        stub.StartMigration(taken, timeout=5)
    assert "vm1" not in str(refused.value.details())


def test_many_guests_of_one_operator_do_not_hide_the_others(world: Cluster) -> None:
    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host1", "operators/mallory"))
    rom = world.storage / "vm1.rom"
    large = definition("x", rom, options=["o" * 200] * 32)
    for slot in range(1, 9):
        large.devices.add(slot=str(slot), emulation="virtio-rnd", options=["o" * 200] * 32)
    names = [f"x{number}" for number in range(24)]
    for name in names:
        large.name = name
        stub.DefineGuest(guest_pb2.DefineGuestRequest(definition=large), timeout=9)
    listed = world.ctl("guest", "list").stdout
    for name in names:
        stub.UndefineGuest(guest_pb2.UndefineGuestRequest(name=name), timeout=9)
    assert all(name in listed for name in ["vm1", *names])


def test_one_caller_cannot_take_every_place(world: Cluster) -> None:
    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host2", "operators/alice"))
    release = threading.Event()

    def nothing() -> Iterator[guest_pb2.AttachConsoleRequest]:
        release.wait(60)
        yield from ()

    calls = [stub.AttachConsole(nothing()) for _ in range(MOST_CALLS + 12)]
    refused = 0
    for call in calls[-20:]:
        with pytest.raises(grpc.RpcError) as ended:
            list(call)
        refused += "TOO_MANY_CALLS" in str(ended.value.details())
    release.set()
    for call in calls:
        call.cancel()  # type: ignore[no-untyped-call]
    assert refused
    mallory = node_pb2_grpc.NodeServiceStub(dial(world, "host2", "operators/mallory"))
    assert mallory.GetNode(node_pb2.GetNodeRequest(), timeout=5).node.name


def test_who_may_not_use_a_console_does_not_keep_it_waiting(world: Cluster) -> None:
    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host2", "operators/mallory"))
    release = threading.Event()

    def nothing() -> Iterator[guest_pb2.AttachConsoleRequest]:
        release.wait(60)
        yield from ()

    with pytest.raises(grpc.RpcError, match="DENIED"):
        list(stub.AttachConsole(nothing(), timeout=5))
    release.set()


async def test_who_calls_and_sends_no_message_takes_few_places(world: Cluster) -> None:
    silent = [dial_apart(world, "host2", "operators/nobody") for _ in range(4)]
    made = [channel.stream_unary(GET_NODE, None, None) for channel in silent]
    pending = {asyncio.ensure_future(one(None).details()) for one in made for _ in range(300)}
    words = set[str]()
    alice = node_pb2_grpc.NodeServiceStub(dial(world, "host2", "operators/alice"))
    try:
        async with asyncio.timeout(30):
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                words |= {str(one.result()) for one in done}
                if len(pending) in range(1, MOST_CALLS + 1):
                    answer = await asyncio.to_thread(
                        alice.GetNode, node_pb2.GetNodeRequest(), timeout=5
                    )
                    assert answer.node.name == "host2"
    finally:
        for channel in silent:
            await channel.close(None)
    assert any("TOO_MANY_CALLS" in one for one in words)
    assert any("no message came within 10 s" in one for one in words)


def test_who_waits_for_a_node_that_hangs_keeps_no_other_guest_waiting(world: Cluster) -> None:
    bootrom = make_files(world.storage, "x1")
    own = guest_pb2_grpc.GuestServiceStub(dial(world, "host1", "operators/mallory"))
    own.DefineGuest(guest_pb2.DefineGuestRequest(definition=definition("x1", bootrom)), timeout=9)
    own.StartGuest(guest_pb2.StartGuestRequest(name="x1"), timeout=30)
    stub = migration_pb2_grpc.MigrationServiceStub(dial(world, "host1", "operators/mallory"))
    there = world.nodes["host2"].process
    assert there
    os.kill(there.pid, signal.SIGSTOP)
    try:
        calls = [stub.StartMigration.future(_start("x1"), timeout=30) for _ in range(20)]
        alice = migration_pb2_grpc.MigrationServiceStub(dial(world, "host1", "operators/alice"))
        began = time.monotonic()
        with pytest.raises(grpc.RpcError, match="PEER_"):
            alice.StartMigration(_start("vm1"), timeout=60)
        assert time.monotonic() - began < 30  # a limit for one node that hangs, not for 20 of them
    finally:
        os.kill(there.pid, signal.SIGCONT)
    for call in calls:
        call.cancel()  # type: ignore[no-untyped-call]
    own.StopGuest(guest_pb2.StopGuestRequest(name="x1", force=True), timeout=30)


def _start(guest: str) -> migration_pb2.StartMigrationRequest:
    return migration_pb2.StartMigrationRequest(
        id=str(uuid.uuid4()), guest=guest, destination="host2"
    )
