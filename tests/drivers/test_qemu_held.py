"""A guest that an operator holds is not set off by a move, whatever becomes of that."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests import qemu
from tests.drivers.bed import nothing_left
from tests.drivers.qemu_bed import QemuBed, ask, move

pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture(name="bed")
def make_bed() -> Iterator[QemuBed]:
    """Nodes with QEMU."""
    bed = QemuBed()
    try:
        yield bed
    finally:
        bed.close()


async def test_a_held_guest_stays_held_wherever_it_goes_until_it_is_started(bed: QemuBed) -> None:
    nodes = [bed.node(name) for name in "abc"]
    await nodes[0].start()
    await ask(nodes[0], "stop")
    before = await nodes[0].beats()
    for here, there in pairwise(nodes):
        await move(here, there)
        power = await there.driver.power("web1")
        assert (power.is_running, power.is_paused) == (True, True)
        await nothing_left(here)
    assert await nodes[2].beats() == []
    await nodes[2].driver.start(bed.definition)
    assert not (await nodes[2].driver.power("web1")).is_paused
    await nodes[2].beats_on(before, operations=bed.sweep)
    await move(nodes[2], nodes[0])


async def test_a_held_guest_whose_move_is_given_up_stays_held_and_can_move_later(
    bed: QemuBed,
) -> None:
    node, other = bed.node("a"), bed.node("b")
    await node.start()
    await ask(node, "stop")
    for _ in range(2):
        guest = node.driver.outgoing(bed.definition)
        (await guest.suspend()).memory.close()
        await guest.resume()
        power = await node.driver.power("web1")
        assert (power.is_running, power.is_paused) == (True, True)
    before = await node.beats()
    await move(node, other)
    assert (await other.driver.power("web1")).is_paused
    await other.driver.start(bed.definition)
    await other.beats_on(before)


async def test_a_guest_that_goes_on_after_it_was_held_is_saved_anew(bed: QemuBed) -> None:
    node, other = bed.node("a"), bed.node("b")
    await node.start()
    await ask(node, "stop")
    guest = node.driver.outgoing(bed.definition)
    (await guest.suspend()).memory.close()
    await guest.resume()
    await node.driver.start(bed.definition)
    before_n = await node.beats_on()
    assert before_n
    before = await node.beats()
    await move(node, other)
    assert not (await other.driver.power("web1")).is_paused
    await other.beats_on(before)
