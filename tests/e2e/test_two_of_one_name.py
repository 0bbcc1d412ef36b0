"""Neither a program that calls a node without bmigctl nor a node that comes back makes a second
copy of a guest: the node asks the others.
"""

import shutil
from collections.abc import Iterator
from functools import partial

import grpc
import pytest
from bmig.v1 import guest_pb2, guest_pb2_grpc, node_pb2, node_pb2_grpc

from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.e2e.dial import dial
from tests.e2e.faults.bench import LIMITS, await_death, crash_host, have_obey, order
from tests.e2e.way import RUNNING, with_guest

pytestmark = pytest.mark.e2e
KEPT = "state/guests/vm1.toml"
STOPPED = "GUEST_STATE_STOPPED"


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """A guest that runs on host1."""
    with with_guest() as made:
        yield made


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


@pytest.fixture(name="three")
def make_three() -> Iterator[Cluster]:
    """A guest that runs on host1, of three nodes."""
    with cluster(["host1", "host2", "host3"], migration=LIMITS) as made:
        have_obey(made)
        made.make_guest("vm1", "host1")
        yield made
        made.beats_on("vm1")


def test_a_host_that_comes_back_does_not_start_what_was_started_elsewhere(three: Cluster) -> None:
    host1 = three.nodes["host1"]
    order(host1, "source.suspended")
    migration_id = three.start_migration("vm1", "host2")
    await_death(host1)
    crash_host(host1)
    description = str(three.directory / "vm1.toml")
    eventually(partial(has_none, three, "host2"), what="the end of the reception on host2")
    three.ctl("guest", "define", description, "--node", "host3", "--not-on", "host1")
    three.ctl("guest", "start", "vm1", "--node", "host3")
    host1.start()
    assert three.where("vm1") == {"host1": STOPPED, "host3": RUNNING}
    told = three.ctl("show", migration_id, "--node", "host1", check=False).stdout
    assert "GUEST_RUNS_ELSEWHERE" in told
    assert not list((host1.home / "vmm").iterdir())


@pytest.mark.parametrize(
    ("point", "host_dies"), [("COMMITTED.end", False), ("EXECUTING.EXECUTE", True)]
)
def test_a_destination_that_comes_back_does_not_start_what_was_resolved(
    three: Cluster, point: str, host_dies: bool
) -> None:
    host2 = three.nodes["host2"]
    order(host2, f"destination.{point}")
    migration_id = three.start_migration("vm1", "host2")
    await_death(host2)
    if host_dies:
        crash_host(host2)
    eventually(partial(is_in_doubt, three), what="doubt")
    three.ctl("resolve", migration_id, "--run-here", "--confirm", "vm1")
    host2.start()
    assert three.where("vm1")["host1"] == RUNNING
    assert three.where("vm1").get("host2", STOPPED) == STOPPED
    assert not list((host2.home / "vmm").iterdir())


def has_none(world: Cluster, node: str) -> bool:
    """Whether a node has nothing of the guest."""
    return node not in world.where("vm1")


def is_in_doubt(world: Cluster) -> bool:
    """Whether its newest migration is."""
    return any(one["in_doubt_since_ms"] for one in world.migrations("vm1"))
