"""A guest that went away from a node is not defined or started there a second time, and an operator
whose other node is lost for good gets it back with one command that names that node.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs import authority
from tests.cluster import Cluster, cluster
from tests.daemons import Node, eventually
from tests.e2e.way import REFUSED, RUNNING, UNREACHABLE, await_pulse, refused

pytestmark = pytest.mark.e2e

RECOVER = "bmigctl guest recover vm1 --node host1 --not-on host2"


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """A guest that has moved from host1 to host2."""
    with cluster(["host1", "host2"]) as made:
        made.make_guest("vm1", "host1")
        made.migrate("vm1", "host2")
        yield made


def vmms(node: Node) -> list[Path]:
    """The VMs of a node."""
    return list((node.home / "vmm").iterdir())


def put_back(world: Cluster) -> None:
    """The definition comes back to host1 from a backup, past bmigctl and the daemon."""
    kept = "state/guests/vm1.toml"
    shutil.copy(world.nodes["host2"].directory / kept, world.nodes["host1"].directory / kept)


def test_a_guest_on_a_node_that_cannot_be_asked_gets_no_second_copy(world: Cluster) -> None:
    description = str(world.directory / "vm1.toml")
    world.nodes["host2"].stop()  # its guest goes on

    error = refused(world, "guest", "define", description, "--node", "host1", code=UNREACHABLE)
    assert error["reason"] == "NAME_NOT_SURE"
    assert "host2" in error["message"]
    assert "--not-on host2" in error["advice"]

    # An operator who thinks that host2 never had it; host1 knows better.
    vouched = ("guest", "define", description, "--node", "host1", "--not-on", "host2")
    error = refused(world, *vouched)
    assert error["reason"] == "GUEST_WENT_AWAY"
    assert "went from host1 to host2 at 20" in error["message"]
    assert RECOVER in error["advice"]

    put_back(world)
    error = refused(world, "guest", "start", "vm1", "--node", "host1")
    assert error["reason"] == "GUEST_WENT_AWAY"
    assert not vmms(world.nodes["host1"])
    await_pulse(world, "vm1", "host2", -1)


def test_a_node_that_has_it_is_believed_whatever_the_operator_says(world: Cluster) -> None:
    error = refused(world, "guest", "recover", "vm1", "--node", "host1", "--not-on", "host2")
    assert error["reason"] == "GUEST_WENT_AWAY"
    assert error["location"] == "on host2"
    put_back(world)
    error = refused(world, "guest", "start", "vm1", "--node", "host1", code=REFUSED)
    assert error["reason"] == "GUEST_RUNS_ELSEWHERE"
    assert "is running on host2: started on host1 too, both would write" in error["message"]
    assert not vmms(world.nodes["host1"])


def test_a_guest_whose_node_burnt_down_comes_back_with_one_command(world: Cluster) -> None:
    lost = world.nodes["host2"]
    before = world.guest("vm1")["definition"]
    world.ctl("guest", "stop", "vm1", "--force")
    lost.stop()

    error = refused(world, "guest", "recover", "vm1", "--node", "host1")
    assert error["reason"] == "GUEST_WENT_AWAY"
    assert RECOVER in error["advice"]
    for _ in range(2):  # said twice it is the same
        world.ctl(*RECOVER.split()[1:])
    world.ctl("guest", "start", "vm1")
    assert world.where("vm1") == {"host1": RUNNING}
    assert world.guest("vm1")["definition"] == before
    await_pulse(world, "vm1", "host1", -1)
    world.ctl("guest", "stop", "vm1", "--force")
    world.ctl("guest", "start", "vm1")  # nobody is asked for the word again

    world.ctl("guest", "stop", "vm1", "--force")
    lost.start()  # it was not gone for good, and has the guest still
    error = refused(world, "guest", "start", "vm1", "--node", "host1")
    assert (error["reason"], error["location"]) == ("GUEST_WENT_AWAY", "on host2")
    world.ctl("guest", "undefine", "vm1", "--node", "host2")
    world.ctl("guest", "start", "vm1")
    assert world.migrate("vm1", "host2")["phase"] == "PHASE_COMPLETED"


def test_a_guest_that_nobody_has_any_more_is_defined_like_a_new_one(world: Cluster) -> None:
    world.ctl("guest", "stop", "vm1", "--force")
    world.ctl("guest", "undefine", "vm1")
    world.ctl("guest", "define", str(world.directory / "vm1.toml"), "--node", "host1")
    world.nodes["host2"].stop()  # it has said that it does not have it
    world.ctl("guest", "start", "vm1")
    assert eventually(lambda: vmms(world.nodes["host1"]), what="a VM on host1")


def test_only_who_may_resolve_may_recover(world: Cluster) -> None:
    authority.issue_operator(world.certs, "bob")
    world.write_client("bob")
    node = world.nodes["host1"]
    node.stop()
    world.configure(
        node,
        operators=[{"names": ["bob"], "allow": ["read", "define", "power"]}],
    )
    node.start()
    error = refused(world, *RECOVER.split()[1:], operator="bob")
    assert error["reason"] == "DENIED"
