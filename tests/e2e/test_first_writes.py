"""The first write of a migration raised, and is durable all the same: it is ended as one that was
begun, and its guest belongs to nobody else before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.cluster import Cluster
from tests.daemons import Node, eventually
from tests.e2e.way import FAILED, REFUSED, RUNNING, Way, refused, with_guest

pytestmark = pytest.mark.e2e
OTHER_FAILURE = 1


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """Two nodes and a guest."""
    with with_guest() as made:
        yield made


@contextmanager
def unmarkable(node: Node) -> Iterator[None]:
    """SQLite writes, and then the mark beside the journal cannot be written."""
    mark = node.directory / "state/journal.sqlite.mark"
    aside = mark.with_name("aside")
    mark.rename(aside)
    mark.mkdir()
    try:
        yield
    finally:
        mark.rmdir()
        aside.rename(mark)


def listed(world: Cluster, node: str) -> dict[str, Any]:
    """The newest migration of the guest, as one node tells it."""
    found = world.migrations("vm1", "--node", node)
    return max(found, key=lambda one: int(one["started_at_ms"]))


def until_aborted(world: Cluster, node: str) -> dict[str, Any]:
    """Its end there."""

    def ended() -> dict[str, Any] | None:
        found = listed(world, node)
        return found if found["phase"] == "PHASE_ABORTED" else None

    return cast("dict[str, Any]", eventually(ended, what=f"the end of the migration on {node}"))


def test_a_source_keeps_its_guest_until_what_it_began_is_ended(world: Cluster) -> None:
    way = Way.of(world)
    source = world.nodes[way.source]
    with unmarkable(source):
        error = refused(world, "migrate", "vm1", way.destination, code=OTHER_FAILURE)
        assert error["reason"] == "JOURNAL_UNWRITABLE"
        assert "journal" in listed(world, way.source)["waiting_for"]
        held = refused(world, "guest", "stop", "vm1", "--force", code=REFUSED)
        assert held["reason"] == "GUEST_BUSY"
    ended = until_aborted(world, way.source)
    assert ended["failure"]["reason"] == "JOURNAL_UNWRITABLE"
    assert world.where("vm1") == {way.source: RUNNING}
    source.stop()
    source.start()
    way.unharmed()
    way.next_one_works()


def test_a_destination_keeps_the_name_until_what_it_began_is_refused(world: Cluster) -> None:
    way = Way.of(world)
    there = world.nodes[way.destination]
    with unmarkable(there):
        ended = world.migrate("vm1", way.destination, expect=FAILED)
        assert ended["failure"]["reason"] == "JOURNAL_UNWRITABLE"
        assert "journal" in listed(world, way.destination)["waiting_for"]
    until_aborted(world, way.destination)
    world.ctl("guest", "stop", "vm1", "--force")
    world.ctl("guest", "undefine", "vm1", "--node", way.source)
    world.ctl("guest", "define", str(world.directory / "vm1.toml"), "--node", way.destination)
    world.ctl("guest", "start", "vm1")
    there.stop()
    there.start()
    assert world.where("vm1") == {way.destination: RUNNING}
    Way.of(world).next_one_works()
