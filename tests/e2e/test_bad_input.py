"""Whatever is asked wrongly: a named error that says what to do, the guest where it was, nothing
left on the other side, and the next migration works.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bmig.v1 import guest_pb2, guest_pb2_grpc

from bmigd.rpc.guest import LONGEST_STOP_S
from certs import authority
from tests.cluster import Cluster
from tests.e2e.dial import dial
from tests.e2e.way import Way, reconfigured, refused, with_guest

pytestmark = pytest.mark.e2e


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes and one guest."""
    with with_guest() as made:
        yield made


@pytest.fixture(name="way")
def make_way(world: Cluster) -> Way:
    return Way.of(world)


@pytest.mark.parametrize(
    ("arguments", "reason", "words"),
    [
        (("migrate", "nobody", "{there}"), "GUEST_UNKNOWN", "nobody"),
        (("check", "nobody", "{there}"), "GUEST_UNKNOWN", "nobody"),
        (("migrate", "vm1", "host9"), "NODE_UNKNOWN", "host9"),
        (("check", "vm1", "host9"), "NODE_UNKNOWN", "host9"),
        (("migrate", "vm1", "{here}"), "SAME_NODE", "{here}"),
        (("check", "vm1", "{here}"), "SAME_NODE", "{here}"),
        (("guest", "undefine", "vm1"), "GUEST_RUNNING", "vm1"),
        (("show", "ffffffff"), "MIGRATION_UNKNOWN", "ffffffff"),
        (("cancel", "ffffffff"), "MIGRATION_UNKNOWN", "ffffffff"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    world: Cluster, way: Way, arguments: tuple[str, ...], reason: str, words: str
) -> None:
    places = {"here": way.source, "there": way.destination}
    error = refused(world, *(argument.format(**places) for argument in arguments))
    assert error["reason"] == reason
    assert words.format(**places) in error["message"]
    way.unharmed()


def test_a_time_to_stop_that_is_too_long_is_refused_and_not_cut(world: Cluster, way: Way) -> None:
    guests = guest_pb2_grpc.GuestServiceStub(dial(world, way.source, "operators/alice"))
    wanted = guest_pb2.StopGuestRequest(name="vm1", timeout_s=LONGEST_STOP_S + 1)
    with pytest.raises(grpc.RpcError, match="REQUEST_INVALID: timeout_s"):
        guests.StopGuest(wanted, timeout=10)
    way.unharmed()


def test_after_wrong_requests_the_guest_moves(way: Way) -> None:
    way.next_one_works()


def test_a_stopped_guest_is_not_migrated_until_it_runs(world: Cluster, way: Way) -> None:
    world.make_guest("still", way.source)
    world.ctl("guest", "stop", "--force", "still")
    error = refused(world, "migrate", "still", way.destination)
    assert error["reason"] == "GUEST_NOT_RUNNING"
    assert way.source in error["location"]
    assert world.where("still") == {way.source: "GUEST_STATE_STOPPED"}
    world.require_clean(way.destination)
    world.ctl("guest", "start", "still")
    assert world.migrate("still", way.destination)["phase"] == "PHASE_COMPLETED"
    world.beats_on("still")
    way.next_one_works()  # so that nothing of either may be left
    world.ctl("guest", "stop", "--force", "still")
    world.ctl("guest", "undefine", "still")


def test_a_name_that_is_taken_is_refused_until_it_is_free(world: Cluster, way: Way) -> None:
    kept = "state/guests/vm1.toml"
    here, there = (world.nodes[node].directory / kept for node in (way.source, way.destination))
    shutil.copy(here, there)
    error = way.refused("--node", way.source)
    assert error["reason"] == "NAME_TAKEN"
    assert way.destination in error["message"]
    there.unlink()
    way.unharmed()
    way.next_one_works()


def test_an_operator_without_the_right_is_refused_and_told_where_to_get_it(
    world: Cluster, way: Way
) -> None:
    authority.issue_operator(world.certs, "bob")
    world.write_client("bob")
    before = way.beats

    def allow_reading(config: dict[str, Any]) -> None:
        config["operators"].append({"names": ["bob"], "allow": ["read"]})

    with reconfigured(world, way.source, allow_reading):
        error = way.refused("--node", way.source, operator="bob")
        assert error["reason"] == "DENIED"
        assert "bob" in error["message"]
        assert way.source in error["advice"]
        way.unharmed()
    assert way.beats > before
    way.next_one_works()


def test_an_operator_whom_nobody_knows_learns_nothing(world: Cluster, way: Way) -> None:
    authority.issue_operator(world.certs, "mallory")
    world.write_client("mallory")
    error = refused(world, "migrate", "vm1", way.destination, operator="mallory")
    assert error["reason"] == "DENIED"
    listed = world.ctl("guest", "list", operator="mallory", check=False)
    assert "vm1" not in listed.stdout
    way.unharmed()
    way.next_one_works()
