"""A guest with a card has its tap before bhyve opens it and while it runs, and not longer: whether
it is started, refused, moved away or goes on here.

No card of the micro-VM exists in truth: the guest only has its taps made and removed.
"""

import json
from collections.abc import Iterator

import pytest

from bmigd.errors import LocalFault, StartFailed
from tests.drivers.bed import Fault, nothing_left, received, suspended
from tests.drivers.bhyve_bed import DEVICES, BhyveBed, BhyveNode
from tests.drivers.ifconfig import CARD, MAC, NETWORKS, Host


@pytest.fixture
def bed() -> Iterator[BhyveBed]:
    """A guest with a card."""
    bed = BhyveBed(devices=[*DEVICES, CARD])
    try:
        yield bed
    finally:
        bed.close()


def on(bed: BhyveBed, name: str) -> tuple[BhyveNode, Host]:
    """A node with its interfaces."""
    host = Host(bed.directory / f"if-{name}")
    node = bed.node(name)
    node.networks = NETWORKS
    return node.again(ifconfig=host.ifconfig), host


@pytest.mark.slow
async def test_a_guest_has_its_tap_while_it_runs_and_not_longer(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    await node.start()
    assert host.interfaces() == ["tap0"]
    notes = json.loads((node.directory / "db/taps/web1.json").read_text())
    assert notes == {MAC: {"interface": "tap0", "bridge": "bridge0"}}
    await node.driver.stop(bed.definition, force=True, timeout_s=0)
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_guest_that_does_not_start_has_no_tap(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    node.fault(Fault.DIES_ON_START)
    with pytest.raises(StartFailed):
        await node.driver.start(bed.definition)
    assert host.calls()[:2] == ["tap create", f"tap0 description bmig/web1/{MAC}"]
    assert host.interfaces() == []


@pytest.mark.slow
async def test_a_guest_whose_tap_is_refused_is_not_started_and_leaves_nothing(
    bed: BhyveBed,
) -> None:
    node, host = on(bed, "a")
    host.refuse("addm")
    with pytest.raises(LocalFault) as fault:
        await node.driver.start(bed.definition)
    assert fault.value.reason == "TAP_FAILED"
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_guest_whose_tap_is_refused_is_not_received_and_leaves_nothing(
    bed: BhyveBed,
) -> None:
    node, host = on(bed, "a")
    host.refuse("addm")
    guest = node.driver.incoming(bed.definition)
    with pytest.raises(LocalFault) as fault:
        await guest.prepare()
    assert fault.value.reason == "TAP_FAILED"
    await guest.discard()
    assert host.interfaces() == []
    await nothing_left(node)


@pytest.mark.slow
async def test_a_moved_guest_has_a_tap_at_its_new_place_alone(bed: BhyveBed) -> None:
    (node, host), (other, there) = on(bed, "a"), on(bed, "b")
    async with received(node, other) as (guest, _):
        assert host.interfaces() == there.interfaces() == ["tap0"]  # made before it goes down
        await guest.start()
        await node.driver.outgoing(bed.definition).release()
        assert host.interfaces() == []
        assert there.interfaces() == ["tap0"]
        await nothing_left(node)
    assert there.interfaces() == []
    await nothing_left(other)


@pytest.mark.slow
async def test_a_guest_that_goes_on_here_keeps_its_tap_and_has_it_brought_up(bed: BhyveBed) -> None:
    node, host = on(bed, "a")
    async with suspended(node) as (guest, _):
        host.calls()
        await guest.resume()
        assert host.calls() == ["tap0", "tap0 up"]
        await node.beats_on()
