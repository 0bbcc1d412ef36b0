"""How a console ends: with the guest, without a word; or before it, and then it says why."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from bmig.v1 import guest_pb2, guest_pb2_grpc

from tests.cluster import Cluster, cluster
from tests.e2e.dial import dial

pytestmark = pytest.mark.e2e
GUEST = "vm1"


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """vm1 runs on host1; its hypervisor reads nothing of what is typed."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest(GUEST, "host1")
        yield made
        made.beats_on(GUEST)


def joined(
    world: Cluster, typed: bytes, over: threading.Event
) -> Iterator[guest_pb2.AttachConsoleResponse]:
    """The console on host1, with so much typed at it."""

    def requests() -> Iterator[guest_pb2.AttachConsoleRequest]:
        yield guest_pb2.AttachConsoleRequest(name=GUEST, input=typed)
        over.wait(60)

    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host1", "operators/alice"))
    return iter(stub.AttachConsole(requests(), timeout=60))


def test_who_is_let_go_while_the_guest_runs_learns_why(world: Cluster) -> None:
    over = threading.Event()
    with pytest.raises(grpc.RpcError) as ended:
        for _ in joined(world, b"x" * 100_000, over):
            pass  # what it prints is taken
    over.set()
    assert "CONSOLE_LET_GO" in str(ended.value.details())
    assert ended.value.code() is grpc.StatusCode.INTERNAL


def test_it_ends_without_an_error_when_the_guest_is_stopped(world: Cluster) -> None:
    over = threading.Event()
    console = joined(world, b"", over)
    assert b"HB n=" in next(console).output
    world.ctl("guest", "stop", GUEST, "--force")
    list(console)  # an error would be raised
    over.set()
    world.ctl("guest", "start", GUEST)
