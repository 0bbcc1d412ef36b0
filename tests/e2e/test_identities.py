"""Whoever is not who they should be gets nothing, and the operator is told whose certificate is
wrong in which way. Real daemons with real certificates of every wrong kind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from certs import authority
from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.e2e.way import REFUSED, UNREACHABLE, Way, reconfigured, refused

pytestmark = pytest.mark.e2e

USAGE = 2


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes with a guest, a third one, and another CA that says it is of the same cluster."""
    with cluster(["host1", "host2", "host3"]) as made:
        other = made.directory / "other"
        authority.make_ca(other, "test")
        for name in ("host1", "host2"):
            authority.issue_node(other, name)
        authority.issue_operator(other, "alice")
        both = (made.certs / "ca.pem").read_bytes() + (other / "ca.pem").read_bytes()
        (made.directory / "both.pem").write_bytes(both)
        made.make_guest("vm1", "host1")
        yield made
        made.beats_on("vm1")


@pytest.fixture(name="way")
def make_way(world: Cluster) -> Way:
    return Way.of(world)


def unreachable(way: Way, reason: str, words: str) -> None:
    """The migration is refused, because the other node is not the one that it should be."""
    error = way.refused("--node", way.source)
    assert (error["reason"], error["side"]) == (reason, "destination")
    assert words in error["message"], error
    assert way.destination in error["message"], error
    assert way.destination in error["advice"], error
    assert "UNAVAILABLE" not in error["message"]  # gRPC's word
    way.unharmed()


def test_nobody_listens_there(world: Cluster, way: Way) -> None:
    world.nodes[way.destination].stop()
    try:
        unreachable(way, "PEER_NOT_LISTENING", "nothing listens")
    finally:
        world.nodes[way.destination].start()
    way.next_one_works()


def test_a_destination_whose_certificate_has_expired(world: Cluster, way: Way) -> None:
    with expired(world, way.destination):
        unreachable(way, "PEER_CERTIFICATE_EXPIRED", "expired")
    way.next_one_works()


def test_a_source_whose_certificate_has_expired(world: Cluster, way: Way) -> None:
    arguments = ("--node", way.source, "migrate", "vm1", way.destination)
    with expired(world, way.source):
        error = refused(world, *arguments, code=UNREACHABLE)
        assert error["reason"] == "CERTIFICATE_EXPIRED"
        assert way.source in error["message"], error
    way.unharmed()
    way.next_one_works()


def test_a_destination_that_is_another_node(world: Cluster, way: Way) -> None:
    def misdirect(config: dict[str, Any]) -> None:
        config["nodes"][way.destination] = f"127.0.0.1:{world.nodes['host3'].port}"

    with reconfigured(world, way.source, misdirect):
        unreachable(way, "PEER_CERTIFICATE_WRONG_NAME", "has the certificate of host3")
        world.require_clean("host3")
    way.next_one_works()


def test_a_destination_of_another_ca(world: Cluster, way: Way) -> None:
    with reconfigured(world, way.destination, of_other_ca(world, way.destination)):
        unreachable(way, "PEER_CERTIFICATE_OTHER_CA", "is of a CA that this node does not know")
    way.next_one_works()


def test_a_destination_that_does_not_believe_the_source(world: Cluster, way: Way) -> None:
    def believe_both(config: dict[str, Any]) -> None:
        config["tls"]["ca"] = str(world.directory / "both.pem")

    with (
        reconfigured(world, way.source, believe_both),
        reconfigured(world, way.destination, of_other_ca(world, way.destination)),
    ):
        unreachable(way, "PEER_REJECTS_CERTIFICATE", "does not accept this node's certificate")
    way.next_one_works()


@contextmanager
def expired(world: Cluster, node: str) -> Iterator[None]:
    """A node whose certificate was good when it started, and is not any more."""
    over = datetime.now(UTC) + timedelta(seconds=4)
    short = authority.Validity(over - timedelta(days=1), over)
    authority.renew(world.certs, node, validity=short)
    with reconfigured(world, node, lambda _: None):
        try:
            eventually(lambda: datetime.now(UTC) > over + timedelta(seconds=1), what="expiry")
            yield
        finally:
            authority.renew(world.certs, node)


def of_other_ca(world: Cluster, node: str) -> Callable[[dict[str, Any]], None]:
    """A node that knows nothing but the other CA."""

    def edit(config: dict[str, Any]) -> None:
        other = world.directory / "other"
        config["tls"] = {
            "ca": str(other / "ca.pem"),
            "certificate": str(other / f"nodes/{node}.pem"),
            "key": str(other / f"nodes/{node}.key"),
        }

    return edit


def operator_with(world: Cluster, name: str, **files: Path | None) -> str:
    """An operator's configuration with other files than alice's."""
    table = {field: str(path) for field, path in files.items()}
    content = {
        "ca": str(world.certs / "ca.pem"),
        **table,
        "nodes": {node.name: f"127.0.0.1:{node.port}" for node in world.nodes.values()},
    }
    (world.directory / f"{name}.toml").write_text(tomli_w.dumps(content))
    return name


def pair(base: Path, who: str) -> dict[str, Path | None]:
    """A certificate and its key."""
    return {"certificate": base / f"{who}.pem", "key": base / f"{who}.key"}


def test_an_operator_whose_certificate_has_expired_is_told_so_at_once(
    world: Cluster, way: Way
) -> None:
    now = datetime.now(UTC)
    over = authority.Validity(now - timedelta(days=2), now - timedelta(days=1))
    authority.issue_operator(world.certs, "late", validity=over)
    late = operator_with(world, "late", **pair(world.certs / "operators", "late"))
    error = refused(world, "migrate", "vm1", way.destination, operator=late, code=USAGE)
    assert error["reason"] == "OUR_CERTIFICATE_EXPIRED"
    way.unharmed()


def test_an_operator_of_another_ca_reaches_nobody(world: Cluster, way: Way) -> None:
    stranger = operator_with(
        world, "stranger", **pair(world.directory / "other/operators", "alice")
    )
    arguments = ("--node", way.source, "migrate", "vm1", way.destination)
    error = refused(world, *arguments, operator=stranger, code=UNREACHABLE)
    assert error["reason"] == "OUR_CERTIFICATE_REJECTED"
    way.unharmed()


def test_an_operator_without_a_certificate_is_told_which_field_is_missing(
    world: Cluster, way: Way
) -> None:
    naked = operator_with(world, "naked")
    done = world.ctl("migrate", "vm1", way.destination, operator=naked, check=False)
    assert (done.returncode, '"certificate" is missing' in done.stderr) == (USAGE, True)
    way.unharmed()


def test_a_node_is_no_operator(world: Cluster, way: Way) -> None:
    node = operator_with(world, "node", **pair(world.certs / "nodes", "host3"))
    error = refused(world, "migrate", "vm1", way.destination, operator=node, code=REFUSED)
    assert error["reason"] == "DENIED"
    assert "operators only" in error["message"]
    way.unharmed()
    way.next_one_works()
