"""What every driver promises, as tests: a subclass gives a bed and gets them all.

The hypervisors are real processes, and the guest checks its own memory and disk: a heartbeat with
the right chain is proof that nothing of either was lost.
"""

import asyncio
import os
import signal
import time

import pytest

from bmigd.errors import StartFailed
from tests.drivers.bed import Fault, Node, eventually, nothing_left, received
from tests.drivers.contract_coming import ComingContract
from tests.drivers.contract_leaving import LeavingContract
from tests.oracle import WrongHeartbeat, check_heartbeats


class DriverContract(LeavingContract, ComingContract):
    """Subclass it as Test… with a fixture `bed`."""

    # What it is

    async def test_it_says_what_it_is(self, node: Node, other: Node) -> None:
        facts = await node.driver.facts()
        assert facts.name == node.driver.name == node.bed.definition.driver
        assert (facts.can_snapshot, facts.problem) == (True, "")
        assert facts.can_throttle
        assert facts.build
        assert facts.build == (await other.driver.facts()).build  # the same programs

    def test_a_guest_that_it_can_move_meets_no_objection(self, node: Node) -> None:
        assert node.driver.objections(node.bed.definition) == []

    def test_a_guest_that_it_cannot_move_meets_an_objection_in_words(self, node: Node) -> None:
        definition = node.bed.definition
        lost = [
            one.model_copy(update={"storage": "ghost"}) if one.storage else one
            for one in definition.devices
        ]
        elsewhere = definition.model_copy(update={"devices": tuple(lost)})
        assert "ghost" in " ".join(node.driver.objections(elsewhere))
        endless = definition.model_copy(update={"name": "n" * 64})
        assert node.driver.objections(endless)

    def test_regions_are_all_of_memory_in_ascending_order(self, node: Node) -> None:
        for memory_bytes in (32 << 20, 3 << 30, (3 << 30) + (1 << 20), 1 << 40):
            definition = node.bed.definition.model_copy(update={"memory_bytes": memory_bytes})
            regions = node.driver.regions(definition)
            assert sum(region.size_bytes for region in regions) == memory_bytes
            ends = [one.guest_address_bytes + one.size_bytes for one in regions]
            begins = [one.guest_address_bytes for one in regions]
            assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))

    def test_room_and_fixed_downtime_grow_with_memory(self, node: Node) -> None:
        small = node.bed.definition
        large = small.model_copy(update={"memory_bytes": 2 * small.memory_bytes})
        assert sum(node.driver.room(small)) >= small.memory_bytes
        assert 0 < node.driver.kept_bytes(small) <= node.driver.kept_bytes(large)
        for some, more in zip(node.driver.room(small), node.driver.room(large), strict=True):
            assert 0 <= some <= more
        sizes = small.memory_bytes, large.memory_bytes
        costs = [node.driver.fixed_downtime_s(size, 0) for size in sizes]
        assert 0 < costs[0] <= costs[1] <= node.driver.fixed_downtime_s(sizes[1], sizes[1])
        assert all(
            0 <= node.driver.hidden_s(size) < cost for size, cost in zip(sizes, costs, strict=True)
        )

    # Starting and stopping

    async def test_a_guest_runs_until_it_is_stopped(self, node: Node) -> None:
        definition = node.bed.definition
        assert not (await node.driver.power(definition.name)).is_running
        began_s = time.monotonic()
        last_n = await node.start()
        power = await node.driver.power(definition.name)
        assert power.is_running
        assert began_s < power.ran_at_s <= time.monotonic()
        await node.driver.start(definition)  # again is nothing
        assert await node.driver.power(definition.name) == power
        assert await node.beats_on() > last_n
        await node.driver.stop(definition, force=False, timeout_s=20)
        assert not (await node.driver.power(definition.name)).is_running
        await nothing_left(node)
        await node.driver.stop(definition, force=True, timeout_s=0)

    async def test_a_guest_that_does_not_start_is_an_error_in_words(self, node: Node) -> None:
        node.fault(Fault.DIES_ON_START)
        with pytest.raises(StartFailed) as failed:
            await node.driver.start(node.bed.definition)
        assert (failed.value.reason, failed.value.never_ran) == ("START_FAILED", True)
        power = await node.driver.power(node.bed.definition.name)
        assert not power.is_running
        assert power.failed
        node.fault()
        await node.start()

    async def test_a_guest_that_stops_by_itself_is_noticed(self, node: Node) -> None:
        await node.start()
        guest = node.driver.outgoing(node.bed.definition)
        watching = asyncio.ensure_future(guest.watch())
        await node.beats_on()
        assert not watching.done()
        os.kill((await node.driver.power(node.bed.definition.name)).pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            assert "stopped" in await watching

    # All of it

    async def test_a_guest_moves_with_all_of_its_memory(self, node: Node, other: Node) -> None:
        async with received(node, other) as (guest, down):
            down.memory.close()
            before = await node.beats()
            await guest.check()
            await guest.start()
            await node.driver.outgoing(node.bed.definition).release()
            await other.beats_on(before, operations=node.bed.sweep)
            witness = await guest.witness()
            assert (witness.supervisor, witness.runs, witness.never_ran) == (True, True, False)
            await nothing_left(node)
            power = await other.driver.power(node.bed.definition.name)
            assert (power.is_running, power.restarts) == (True, 0)

    async def test_memory_that_is_not_moved_is_noticed_by_the_guest(
        self, node: Node, other: Node
    ) -> None:
        async with received(node, other, omit=node.bed.hot) as (guest, _):
            await guest.start()

            async def is_wrong() -> bool:
                try:
                    check_heartbeats(node.bed.params, await other.beats())
                except WrongHeartbeat as wrong:
                    return "no heartbeat" not in str(wrong)
                return False

            await eventually(is_wrong, "complaint about its memory")
