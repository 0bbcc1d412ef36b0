"""The half of the drivers' contract about a guest that may come to a node.

What can be checked is checked before it runs; and "it never ran" is only said on proof.
"""

import asyncio

import pytest

from bmigd.errors import BadBytes, LocalFault, StartFailed
from tests.drivers.bed import Fault, Node, OnABed, eventually, nothing_left, received


class ComingContract(OnABed):
    """Part of DriverContract."""

    async def test_memory_on_its_way_in_is_zero_and_keeps_what_is_written(self, node: Node) -> None:
        guest = node.driver.incoming(node.bed.definition)
        memory = await guest.prepare()
        assert memory.regions == node.driver.regions(node.bed.definition)
        for number, region in enumerate(memory.regions):
            assert not any(memory.read(number, 0, region.size_bytes))
            memory.write(number, region.size_bytes - 3, b"end")
            assert memory.read(number, region.size_bytes - 4, 4) == b"\0end"
        memory.close()
        await guest.stand_by()
        witness = await guest.witness()
        assert (witness.supervisor, witness.executed, witness.runs) == (True, False, False)
        memory = await guest.prepare()  # anew
        assert not memory.read(0, memory.regions[0].size_bytes - 3, 3).strip(b"\0")
        memory.close()
        await guest.discard()
        await nothing_left(node)

    @pytest.mark.parametrize("steps", [1, 10, 100])
    async def test_one_that_is_given_up_while_it_gets_ready_leaves_nothing(
        self, node: Node, steps: int
    ) -> None:
        guest = node.driver.incoming(node.bed.definition)
        (await guest.prepare()).close()
        standing_by = asyncio.create_task(guest.stand_by())
        for _ in range(steps):
            await asyncio.sleep(0)
        standing_by.cancel()
        await asyncio.wait({standing_by})
        await guest.discard()
        await nothing_left(node)

    async def test_a_state_file_that_it_does_not_know_is_refused(self, node: Node) -> None:
        guest = node.driver.incoming(node.bed.definition)
        for name in ("", "nonsense", "../escape", "/etc/passwd"):
            with pytest.raises(BadBytes) as refused:
                guest.state_path(name)
            assert refused.value.reason == "STATE_INVALID"

    async def test_state_that_is_missing_or_of_another_length_is_refused(
        self, node: Node, other: Node
    ) -> None:
        async with received(node, other) as (guest, down):
            await guest.check()
            for file in down.files:
                path, whole = guest.state_path(file.name), file.path.read_bytes()
                for wrong in (b"", whole[: len(whole) // 2], whole[:-2], whole + b"\0"):
                    path.write_bytes(wrong)
                    with pytest.raises(BadBytes) as refused:
                        await guest.check()
                    assert refused.value.reason == "STATE_INVALID"
                path.unlink()
                with pytest.raises(BadBytes):
                    await guest.check()
                path.write_bytes(whole)
            await guest.check()
            assert not (await guest.witness()).executed

    async def test_a_disk_that_is_not_there_is_found_before_the_guest_is_taken(
        self, node: Node, other: Node
    ) -> None:
        async with received(node, other) as (guest, _):
            image = node.bed.image()
            image.rename(image.with_suffix(".away"))
            with pytest.raises(LocalFault, match=image.name):
                await guest.check()
            image.with_suffix(".away").rename(image)
            await guest.check()

    async def test_a_guest_that_dies_before_it_runs_surely_never_ran(
        self, node: Node, other: Node
    ) -> None:
        for fault in (Fault.DIES_ON_START, Fault.RESTORE_FAILS):
            async with received(node, other) as (guest, _):
                other.fault(fault)
                with pytest.raises(StartFailed) as failed:
                    await guest.start()
                assert failed.value.never_ran
                witness = await guest.witness()
                assert (witness.executed, witness.runs, witness.never_ran) == (True, False, True)
                other.fault()
            await nothing_left(other)
            await node.driver.outgoing(node.bed.definition).resume()  # given back
            await node.beats_on()

    async def test_of_a_guest_that_dies_once_it_runs_nobody_says_that_it_never_ran(
        self, node: Node, other: Node
    ) -> None:
        async with received(node, other) as (guest, _):
            other.fault(Fault.DIES_ONCE_STARTED)
            try:
                await guest.start()
            except StartFailed as failed:
                assert not failed.never_ran  # noqa: PT017 - it may be up for a moment

            async def has_died() -> bool:
                return not (await guest.witness()).runs

            await eventually(has_died, "end of the guest")
            witness = await guest.witness()
            assert (witness.executed, witness.never_ran) == (True, False)

    async def test_a_received_guest_that_is_discarded_leaves_nothing(
        self, node: Node, other: Node
    ) -> None:
        async with received(node, other) as (guest, _):
            await guest.start()
            await other.beats_on(await node.beats())
            await guest.discard()
            await nothing_left(other)
            assert not (await guest.witness()).supervisor
            await guest.discard()
