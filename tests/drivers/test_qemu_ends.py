"""A QEMU that ends, a guest that powers off or is reset, a daemon that ends between the mark and
`cont`: who runs the guest, and from what, is never in doubt.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bmigd import host
from bmigd.drivers.qemu.monitor import MonitorLost, session
from bmigd.errors import BmigError, LocalFault
from tests import qemu
from tests.drivers.bed import Fault, eventually, nothing_left, received, suspended
from tests.drivers.qemu_bed import QemuBed, ask, kill, supervision_of

pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture(name="bed")
def make_bed() -> Iterator[QemuBed]:
    """Nodes with QEMU."""
    bed = QemuBed()
    try:
        yield bed
    finally:
        bed.close()


async def test_a_guest_whose_qemu_ends_while_it_is_suspended_goes_on_from_what_was_kept(
    bed: QemuBed,
) -> None:
    node = bed.node("a")
    async with suspended(node) as (guest, down):
        down.memory.close()
        await kill(node)
        await guest.resume()
        await node.beats_on(operations=bed.sweep)
        await kill(node)  # what was kept is older than the disk now
        with pytest.raises(LocalFault) as restarted:
            await guest.resume()
        assert restarted.value.reason == "GUEST_RESTARTED"


async def test_what_was_kept_is_not_used_once_the_guest_ran_on_though_nobody_could_say_so(
    bed: QemuBed,
) -> None:
    node = bed.node("a")
    async with suspended(node) as (guest, down):
        down.memory.close()
        await guest.resume()
        await node.beats_on()
        await supervision_of(node).expect_suspend()  # as if the daemon had died just before
        await kill(node)
        with pytest.raises(LocalFault) as restarted:
            await guest.resume()
        assert restarted.value.reason == "GUEST_RESTARTED"


async def test_what_was_kept_stays_while_no_qemu_can_go_on_from_it(bed: QemuBed) -> None:
    node = bed.node("a")
    async with suspended(node) as (guest, down):
        down.memory.close()
        await kill(node)
        node.fault(Fault.RESTORE_FAILS)
        for _ in range(2):
            with pytest.raises(BmigError):
                await guest.resume()
        node.fault()
        await guest.resume()
        await node.beats_on(operations=bed.sweep)


async def test_a_guest_that_powers_off_is_noticed_and_frees_its_memory(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    watching = asyncio.ensure_future(guest.watch())
    await ask(node, "system_powerdown")
    async with asyncio.timeout(20):
        assert "stopped by itself (QEMU exited with 0" in await watching
    power = await node.driver.power("web1")
    assert (power.is_running, power.failed) == (False, "")
    assert not (node.spool / "web1.qemu/ram").exists()
    with pytest.raises(LocalFault):
        await guest.suspend()
    await guest.resume()  # it stays off
    assert not (await node.driver.power("web1")).is_running


async def test_a_guest_that_powers_off_just_before_the_suspend_stays_off(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    node.fault(Fault.SUSPEND_HANGS)
    guest = node.driver.outgoing(bed.definition)
    suspending = asyncio.ensure_future(guest.suspend())
    supervision = supervision_of(node)

    async def is_expected() -> bool:
        status = await supervision.status()
        return status is not None and status.expect_suspend

    await eventually(is_expected, "suspend")
    await supervision.signal("TERM")  # QEMU powers off
    with pytest.raises(LocalFault) as stopped:
        await suspending
    assert stopped.value.reason == "GUEST_STOPPED"
    node.fault()
    await guest.resume()
    assert not (await node.driver.power("web1")).is_running


async def test_a_reset_is_no_end_and_memory_goes_on_to_be_seen(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    memory = await guest.open()
    pid = (await node.driver.power("web1")).pid
    watching = asyncio.ensure_future(guest.watch())
    region, offset, length = bed.hot
    await node.beats_on(operations=bed.sweep)
    await ask(node, "system_reset")

    async def is_new() -> bool:
        beats = await node.beats()
        return any(later.n < earlier.n for earlier, later in pairwise(beats))

    await eventually(is_new, "reboot")
    before = bytes(memory.view(region)[offset : offset + length])

    async def has_changed() -> bool:
        return bytes(memory.view(region)[offset : offset + length]) != before

    await eventually(has_changed, "change of memory after the reset")
    assert not watching.done()
    assert (await node.driver.power("web1")).pid == pid
    watching.cancel()
    memory.close()


# Daemons that end


async def test_a_guest_that_was_marked_and_not_set_off_is_ours_and_is_set_off(
    bed: QemuBed,
) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.check()
        before = await node.beats()
        await supervision_of(other).mark_running()  # and the daemon ended
        again = other.driver.incoming(bed.definition)
        witness = await again.witness()
        assert (witness.executed, witness.runs, witness.never_ran) == (True, True, False)
        await again.check()
        assert (await other.driver.power("web1")).ran_at_s == 0.0
        accepted_at_s = time.monotonic()
        await again.accept()
        assert (await other.driver.power("web1")).ran_at_s > accepted_at_s
        await other.beats_on(before)


async def test_a_guest_that_somebody_set_off_by_hand_runs(bed: QemuBed) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.check()
        assert not (await guest.witness()).executed
        await ask(other, "cont")
        witness = await other.driver.incoming(bed.definition).witness()
        assert (witness.executed, witness.runs) == (True, True)


async def test_a_restarted_daemon_starts_what_waits_with_its_state_loaded(bed: QemuBed) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.check()
        again = other.driver.incoming(bed.definition)
        await again.check()
        await again.start()
        await other.beats_on(await node.beats())


# Sessions


async def test_a_monitor_that_nobody_serves_is_lost(tmp_path: Path) -> None:
    with pytest.raises(MonitorLost):
        async with session(tmp_path / "qmp"):
            pass


async def test_qemus_death_in_a_session_is_one_error(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    pid = (await node.driver.power("web1")).pid
    async with session(node.run / "web1/qmp") as monitor:

        async def ask_on() -> None:
            while True:
                await monitor.ask("query-status")

        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MonitorLost):
            await ask_on()


async def test_memory_that_there_is_no_room_for_is_an_error_before_a_qemu_has_it(
    bed: QemuBed,
) -> None:
    node = bed.node("a")
    assert os.statvfs(bed.directory).f_blocks, "a tmpfs without a limit would have room"
    huge = bed.definition.model_copy(update={"memory_bytes": 1 << 42})
    guest = node.driver.incoming(huge)
    (await guest.prepare()).close()
    with pytest.raises(LocalFault, match="are free") as full:
        await guest.stand_by()
    assert full.value.reason == "SPOOL_FULL"
    await guest.discard()
    await nothing_left(node)


@pytest.mark.parametrize("in_memory", [True, False])
async def test_memory_is_reserved_beside_its_arrival_only_where_others_may_write_meanwhile(
    bed: QemuBed, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(host, "is_in_memory", lambda _: in_memory)  # what is under it stays tmpfs
    node = bed.node("a")
    guest = node.driver.incoming(bed.definition)
    (await guest.prepare()).close()
    (ram,) = node.spool.rglob("ram")
    reserved = ram.stat().st_blocks * 512
    assert reserved == (0 if in_memory else bed.definition.memory_bytes)
    await guest.stand_by()
    assert ram.stat().st_blocks * 512 == bed.definition.memory_bytes
    await guest.discard()
