"""A program that calls a node without bmigctl cannot make a second copy of a guest either: the node
asks the others.
"""

import shutil
from collections.abc import Iterator

import grpc
import pytest
from bmig.v1 import guest_pb2, guest_pb2_grpc, node_pb2, node_pb2_grpc

from tests.cluster import Cluster, cluster
from tests.e2e.dial import dial
from tests.e2e.way import RUNNING

pytestmark = pytest.mark.e2e
KEPT = "state/guests/vm1.toml"


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """A guest that runs on host1."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest("vm1", "host1")
        yield made
        made.beats_on("vm1")


@pytest.fixture(name="bare")
def make_bare(world: Cluster) -> guest_pb2_grpc.GuestServiceStub:
    """Calls host2."""
    return guest_pb2_grpc.GuestServiceStub(dial(world, "host2", "operators/alice"))


@pytest.fixture(name="definition")
def make_definition(world: Cluster) -> guest_pb2.GuestDefinition:
    """The guest as host1 has it."""
    stub = node_pb2_grpc.NodeServiceStub(dial(world, "host1", "operators/alice"))
    return stub.GetGuest(node_pb2.GetGuestRequest(name="vm1"), timeout=9).guest.definition


def test_a_guest_that_another_node_has_is_not_defined(
    world: Cluster, bare: guest_pb2_grpc.GuestServiceStub, definition: guest_pb2.GuestDefinition
) -> None:
    request = guest_pb2.DefineGuestRequest(definition=definition, not_on=["host1"])
    with pytest.raises(grpc.RpcError, match=r"NAME_TAKEN: host1 has a guest vm1 \(running\)"):
        bare.DefineGuest(request, timeout=9)
    assert world.where("vm1") == {"host1": RUNNING}


def test_a_guest_that_a_silent_node_may_have_is_defined_on_the_operators_word_only(
    world: Cluster, bare: guest_pb2_grpc.GuestServiceStub, definition: guest_pb2.GuestDefinition
) -> None:
    world.nodes["host1"].stop()
    request = guest_pb2.DefineGuestRequest(definition=definition)
    with pytest.raises(grpc.RpcError, match="NAME_NOT_SURE: host1 could not be asked"):
        bare.DefineGuest(request, timeout=9)
    request.not_on.append("host1")
    bare.DefineGuest(request, timeout=9)
    world.nodes["host1"].start()
    with pytest.raises(grpc.RpcError, match="GUEST_RUNS_ELSEWHERE: guest vm1 is running on host1"):
        bare.StartGuest(guest_pb2.StartGuestRequest(name="vm1"), timeout=9)


def test_a_definition_that_was_copied_by_hand_is_not_started_while_the_guest_runs(
    world: Cluster, bare: guest_pb2_grpc.GuestServiceStub
) -> None:
    shutil.copy(world.nodes["host1"].directory / KEPT, world.nodes["host2"].directory / KEPT)
    with pytest.raises(grpc.RpcError, match="GUEST_RUNS_ELSEWHERE: guest vm1 is running on host1"):
        bare.StartGuest(guest_pb2.StartGuestRequest(name="vm1"), timeout=9)
    assert not list((world.nodes["host2"].home / "vmm").iterdir())
