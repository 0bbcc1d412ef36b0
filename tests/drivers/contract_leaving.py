"""The half of the drivers' contract about a guest that may leave its node.

A suspend may fail, be slow, hang, or come true when nobody wants it any more: the guest runs.
"""

import asyncio
import os
import signal
from dataclasses import replace

import pytest
from xxhash import xxh3_128_digest

from bmigd.drivers.base import THROTTLE_S, Memory
from bmigd.errors import LocalFault, StartFailed
from tests.drivers.bed import (
    Bed,
    Fault,
    Node,
    OnABed,
    eventually,
    nothing_left,
    speed,
    suspended,
)


def digests(memory: Memory) -> list[bytes]:
    """Of each region's content."""
    return [xxh3_128_digest(memory.view(number)) for number in range(len(memory.regions))]


def require_zero_elsewhere(memory: Memory) -> None:
    """What is not said to be populated is zero."""
    for number, region in enumerate(memory.regions):
        view, end = memory.view(number), 0
        for begin, length in [*memory.populated(number), (region.size_bytes, 0)]:
            assert begin >= end
            assert not any(view[end:begin]), f"{end} to {begin} is not zero"
            end = begin + length
        assert end <= region.size_bytes


async def until_as_fast(node: Node, usual: float) -> None:
    """Wait until the guest is about as fast as it was: the machine may be busy."""

    async def is_so() -> bool:
        return await speed(node, 0.3) > 0.5 * usual

    await eventually(is_so, "full speed")
    await node.beats_on()  # and all that it has done is right


class LeavingContract(OnABed):
    """Part of DriverContract."""

    async def test_all_that_is_not_zero_is_said_to_be_populated(self, node: Node) -> None:
        await node.start()
        guest = node.driver.outgoing(node.bed.definition)
        live = await guest.open()
        require_zero_elsewhere(live)
        live.close()
        down = await guest.suspend()
        require_zero_elsewhere(down.memory)
        down.memory.close()

    async def test_memory_that_stands_still_is_what_will_be_restored(self, node: Node) -> None:
        await node.start()
        guest = node.driver.outgoing(node.bed.definition)
        live = await guest.open()
        seen: list[list[bytes]] = []
        down = await guest.suspend(lambda: seen.append(digests(live)))
        assert digests(down.memory) in (seen or [digests(down.memory)])
        assert len(seen) == node.bed.tells_stillness
        for memory in {live, down.memory}:
            memory.close()

    async def test_live_memory_changes_under_the_reader_and_cannot_be_written(
        self, node: Node
    ) -> None:
        await node.start()
        memory = await node.driver.outgoing(node.bed.definition).open()
        assert memory.regions == node.driver.regions(node.bed.definition)
        region, offset, length = node.bed.hot
        view = memory.view(region)
        before = bytes(view[offset : offset + length])

        async def has_changed() -> bool:
            return bytes(view[offset : offset + length]) != before

        await eventually(has_changed, "change of hot memory")
        assert view.readonly
        await node.beats_on()
        memory.close()

    async def test_a_log_of_writes_is_offered_or_not_at_all(self, node: Node) -> None:
        log = node.driver.outgoing(node.bed.definition).dirty_log()
        assert (log is not None) == node.bed.keeps_log

    async def test_a_guest_that_is_slowed_does_less_until_that_is_ended_or_not_renewed(
        self, eager: Node
    ) -> None:
        await eager.start()
        guest = eager.driver.outgoing(eager.bed.definition)
        usual = await speed(eager, 0.5)
        await guest.throttle(90)
        assert await speed(eager, 1.0) < 0.35 * usual
        assert (await eager.driver.power(eager.bed.definition.name)).is_running
        await guest.throttle(0)
        await guest.throttle(0)  # again is nothing
        await until_as_fast(eager, usual)
        await guest.throttle(90)
        assert await speed(eager, THROTTLE_S / 3) < 0.35 * usual
        await guest.throttle(90)
        assert await speed(eager, THROTTLE_S * 0.8) < 0.35 * usual  # later than without it
        await until_as_fast(eager, usual)

    async def test_a_guest_is_suspended_however_much_it_is_slowed(self, node: Node) -> None:
        await node.start()
        guest = node.driver.outgoing(node.bed.definition)
        await guest.throttle(99)
        assert (await node.driver.power(node.bed.definition.name)).is_running
        down = await guest.suspend()
        assert not (await node.driver.power(node.bed.definition.name)).is_running
        down.memory.close()
        with pytest.raises(LocalFault):
            await guest.throttle(50)  # it came late
        await guest.throttle(0)
        await guest.resume()
        await node.beats_on(operations=node.bed.sweep)

    async def test_a_suspended_guest_is_down_with_all_of_its_memory_and_state(
        self, node: Node
    ) -> None:
        async with suspended(node) as (_, down):
            assert not (await node.driver.power(node.bed.definition.name)).is_running
            assert down.memory.regions == node.driver.regions(node.bed.definition)
            sizes = [len(down.memory.view(i)) for i, _ in enumerate(down.memory.regions)]
            assert sizes == [region.size_bytes for region in down.memory.regions]
            assert len({file.name for file in down.files}) == len(down.files) > 0
            assert all(file.path.stat().st_size for file in down.files)

    async def test_a_suspended_guest_goes_on_where_it_was(self, node: Node) -> None:
        async with suspended(node) as (guest, down):
            down.memory.close()
            last_n = (await node.beats())[-1].n
            await guest.resume()
            assert await node.beats_on(operations=node.bed.sweep) > last_n
            power = await node.driver.power(node.bed.definition.name)
            await guest.resume()  # again is nothing
            assert await node.driver.power(node.bed.definition.name) == power
            assert power.restarts == 0

    async def test_a_daemon_that_was_restarted_resumes_what_it_left(self, node: Node) -> None:
        async with suspended(node):
            await node.driver.outgoing(node.bed.definition).resume()
            await node.beats_on()

    async def test_a_slow_suspend_is_waited_for(self, node: Node) -> None:
        await node.start()
        node.fault(Fault.SUSPEND_IS_SLOW)
        guest = node.driver.outgoing(node.bed.definition)
        down = await guest.suspend()
        assert not (await node.driver.power(node.bed.definition.name)).is_running
        down.memory.close()
        await guest.resume()
        await node.beats_on()

    async def test_a_suspend_that_is_cut_short_is_undone(self, node: Node) -> None:
        await node.start()
        node.fault(Fault.SUSPEND_IS_SLOW)
        guest = node.driver.outgoing(node.bed.definition)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # it is under way by then
                await guest.suspend()
        await guest.resume()
        await node.beats_on()

    async def test_a_guest_whose_suspend_fails_goes_on_and_can_be_suspended_later(
        self, node: Node
    ) -> None:
        await node.start()
        node.fault(Fault.SUSPEND_FAILS)
        guest = node.driver.outgoing(node.bed.definition)
        power = await node.driver.power(node.bed.definition.name)
        with pytest.raises(LocalFault) as failed:
            await guest.suspend()
        assert failed.value.reason == "SUSPEND_FAILED"
        await guest.resume()
        await node.beats_on()
        await guest.resume()
        now = await node.driver.power(node.bed.definition.name)
        assert replace(now, ran_at_s=power.ran_at_s) == power  # the same process all the time
        node.fault()
        (await guest.suspend()).memory.close()
        await guest.resume()
        await node.beats_on()

    async def test_a_suspend_that_comes_true_after_it_was_given_up_does_not_lose_the_guest(
        self, bed: Bed
    ) -> None:
        node = bed.node("a", patience_s=1)
        await node.start()
        node.fault(Fault.SUSPEND_HANGS)
        guest = node.driver.outgoing(bed.definition)
        with pytest.raises(LocalFault) as failed:
            await guest.suspend()
        assert failed.value.reason == "SUSPEND_TIMEOUT"
        await guest.resume()
        with pytest.raises(LocalFault, match="still under way"):
            await guest.suspend()  # a second one would be served after the first
        await guest.resume()
        node.fault()
        await node.beats_on()
        assert (await node.driver.power(bed.definition.name)).restarts == 0
        (await guest.suspend()).memory.close()
        await guest.resume()
        await node.beats_on()

    async def test_kept_state_is_kept_while_the_guest_cannot_be_brought_back(
        self, node: Node
    ) -> None:
        async with suspended(node) as (guest, _):
            node.fault(Fault.RESTORE_FAILS)
            for _ in range(2):
                with pytest.raises(StartFailed):
                    await guest.resume()
            node.fault()
            await guest.resume()
            await node.beats_on()

    async def test_state_of_an_earlier_time_is_never_restored(self, node: Node) -> None:
        async with suspended(node) as (guest, _):
            node.fault(Fault.RESTORE_FAILS)
            with pytest.raises(StartFailed):
                await guest.resume()
            node.fault()
            await node.driver.start(node.bed.definition)  # its disk goes on from here
            await node.beats_on()
            os.kill((await node.driver.power(node.bed.definition.name)).pid, signal.SIGKILL)
            await guest.watch()
            with pytest.raises(LocalFault) as restarted:
                await guest.resume()
            assert restarted.value.reason == "GUEST_RESTARTED"

    async def test_a_released_guest_leaves_nothing(self, node: Node) -> None:
        async with suspended(node) as (guest, down):
            down.memory.close()
            await guest.release()
            await nothing_left(node)
            await guest.release()
            assert not (await node.driver.power(node.bed.definition.name)).is_running

    async def test_memory_that_a_guest_leaves_is_what_it_begins_with_when_it_comes_back(
        self, node: Node
    ) -> None:
        definition = node.bed.definition
        image = node.bed.directory / "image"
        async with suspended(node) as (guest, down):
            views = [down.memory.view(number) for number in range(len(down.memory.regions))]
            left = [xxh3_128_digest(view) for view in views]
            for view in views:
                view.release()
            down.memory.close()
            await guest.release(image)
            await guest.release(image)  # again, after a crash between
            await nothing_left(node)
        coming = node.driver.incoming(definition)
        memory = await coming.prepare(image)
        assert not image.exists()
        there = [
            xxh3_128_digest(memory.read(number, 0, region.size_bytes))
            for number, region in enumerate(memory.regions)
        ]
        assert there == left
        memory.close()
        await coming.discard()
        await nothing_left(node)
