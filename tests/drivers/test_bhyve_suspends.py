"""What goes wrong with bhyve's suspends in particular: requests that do not arrive, guests that end
meanwhile, files that are not whole, resumes that are cut off. The guest goes on from where it was,
or what became of it is told; no file of its memory stays.

Programs in the place of bhyve and bhyvectl are small scripts around those of the micro-VM.
"""

import asyncio
import os
import shutil
import signal

import pytest

from bmigd.errors import LocalFault
from bmigd.guests.supervision import Supervision
from tests.drivers.bed import PATIENCE_S, Fault, eventually, nothing_left, suspended
from tests.drivers.bhyve_bed import BhyveBed, BhyveNode, wrapped

slow = pytest.mark.slow
TURNING_INTO = 'case "$*" in *--suspend=*) exec $real --vm=web1 %s ;; esac'


async def is_starting(node: BhyveNode) -> bool:
    """Whether there is a bhyve whose guest does not run yet."""
    directory = node.driver.console_directory(node.bed.definition.name)
    status = await Supervision(directory).status()
    return status is not None and status.state == "starting"


@slow
async def test_a_guest_that_powers_off_while_it_is_suspended_stays_off(bed: BhyveBed) -> None:
    node = wrapped(bed.node("a"), "bhyvectl", TURNING_INTO % "--force-poweroff")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(LocalFault) as stopped:
        await guest.suspend()
    assert stopped.value.reason == "GUEST_STOPPED"
    await guest.resume()
    await guest.resume()
    assert not (await node.driver.power("web1")).is_running
    assert not list(node.spool.rglob("*"))


@slow
async def test_a_guest_that_reboots_while_it_is_suspended_is_started_again(bed: BhyveBed) -> None:
    node = wrapped(bed.node("a"), "bhyvectl", TURNING_INTO % "--force-reset")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(LocalFault) as incomplete:
        await guest.suspend()
    assert incomplete.value.reason == "SNAPSHOT_INCOMPLETE"
    with pytest.raises(LocalFault) as restarted:
        await guest.resume()
    assert restarted.value.reason == "GUEST_RESTARTED"
    await guest.resume()
    assert (await node.driver.power("web1")).is_running
    assert not list(node.spool.rglob("*"))


@slow
async def test_a_request_that_did_not_leave_is_not_waited_for(bed: BhyveBed) -> None:
    refusing = 'case "$*" in *--suspend=*) echo refused; exit 61 ;; esac'
    node = wrapped(bed.node("a"), "bhyvectl", refusing)
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    async with asyncio.timeout(PATIENCE_S / 2):  # the driver would wait twice as long for bhyve
        with pytest.raises(LocalFault, match=r"exited with 61.*refused"):
            await guest.suspend()
        await guest.resume()
        await node.beats_on()


@slow
async def test_a_bhyvectl_that_is_gone_is_told_and_not_waited_for(bed: BhyveBed) -> None:
    node = bed.node("a")
    await node.start()
    (node.home / "bin/bhyvectl").unlink()
    guest = node.driver.outgoing(bed.definition)
    async with asyncio.timeout(PATIENCE_S / 2):
        with pytest.raises(LocalFault, match=r"bhyvectl cannot be run: no such file") as fault:
            await guest.suspend()
        assert fault.value.reason == "SUSPEND_FAILED"
        assert "bhyve.bhyvectl" in fault.value.advice
        await guest.resume()
        await node.beats_on()


@slow
async def test_a_resume_that_was_cut_off_is_waited_for_and_leaves_nothing(bed: BhyveBed) -> None:
    node = wrapped(bed.node("a"), "bhyve", 'case " $* " in *" -r "*) sleep 0.5 ;; esac')
    async with suspended(node) as (guest, _):
        cut_off = asyncio.create_task(guest.resume())
        await eventually(lambda: is_starting(node), "bhyve that starts")
        cut_off.cancel()  # as its daemon is killed
        await node.again().driver.outgoing(bed.definition).resume()
        assert (await node.driver.power("web1")).is_running
        assert not await is_starting(node)
        assert not list(node.spool.rglob("*"))
        await node.beats_on()


@slow
async def test_a_resume_that_was_cut_off_when_the_guest_ran_leaves_nothing(bed: BhyveBed) -> None:
    node = bed.node("a")
    async with suspended(node) as (guest, _):
        shutil.copytree(node.spool / "web1.out", node.directory / "kept")
        await guest.resume()
        shutil.move(node.directory / "kept", node.spool / "web1.out")
        await node.again().driver.outgoing(bed.definition).resume()
        await node.beats_on()
        assert not list(node.spool.rglob("*"))


@slow
async def test_a_resume_that_was_cut_off_and_then_failed_is_done_again(bed: BhyveBed) -> None:
    once = "$(dirname $0)/failed"
    failing = (
        f'case " $* " in *" -r "*) [ -e {once} ] || {{ touch {once}; sleep 0.5; exit 1; }} ;; esac'
    )
    node = wrapped(bed.node("a"), "bhyve", failing)
    async with suspended(node) as (guest, _):
        cut_off = asyncio.create_task(guest.resume())
        await eventually(lambda: is_starting(node), "bhyve that starts")
        cut_off.cancel()
        await node.again().driver.outgoing(bed.definition).resume()
        await node.beats_on()  # from where it was
        assert not list(node.spool.rglob("*"))


@slow
async def test_a_resume_that_was_cut_off_and_hangs_is_ended_and_done_again(bed: BhyveBed) -> None:
    once = "$(dirname $0)/hung"
    hanging = f"[ -e {once} ] || {{ touch {once}; exec sleep 600; }}"
    node = wrapped(bed.node("a"), "bhyve", f'case " $* " in *" -r "*) {hanging} ;; esac')
    async with suspended(node) as (guest, _):
        cut_off = asyncio.create_task(guest.resume())
        await eventually(lambda: is_starting(node), "bhyve that starts")
        cut_off.cancel()
        node.again(start_timeout_s=2.0)
        await node.driver.outgoing(bed.definition).resume()
        await node.beats_on()  # from where it was
        assert not list(node.spool.rglob("*"))


@slow
async def test_a_late_suspend_that_cannot_be_undone_is_not_taken_for_the_guest_going_on(
    bed: BhyveBed,
) -> None:
    failing = 'case " $* " in *" -r "*) sleep 0.5; exit 1 ;; esac'
    node = wrapped(bed.node("a", patience_s=0.5), "bhyve", failing)
    await node.start()
    node.fault(Fault.SUSPEND_HANGS)
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(LocalFault):
        await guest.suspend()
    await guest.resume()  # given up
    node.fault()  # it comes true
    await eventually(lambda: is_starting(node), "the undoing")
    with pytest.raises(LocalFault) as restarted:
        await node.driver.outgoing(bed.definition).resume()
    assert restarted.value.reason == "GUEST_RESTARTED"


@slow
async def test_words_from_before_the_suspend_are_not_its_failure(bed: BhyveBed) -> None:
    node = wrapped(bed.node("a"), "bhyve", "echo 'vm_set_capability failed' >&2")
    await node.start()
    node.fault(Fault.SUSPEND_IS_SLOW)
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await guest.suspend()
    await guest.resume()
    status = await Supervision(node.run / "web1").status()
    assert status
    assert not status.late_suspend  # it was waited for, not given up
    await node.beats_on()


@slow
@pytest.mark.parametrize("fault", ["short-ram", "short-meta", "broken-meta"])
async def test_a_guest_that_was_not_saved_whole_is_started_again(bed: BhyveBed, fault: str) -> None:
    node = bed.node("a")
    await node.start()
    node.set_faults(fault)
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(LocalFault) as incomplete:
        await guest.suspend()
    assert incomplete.value.reason == "SNAPSHOT_INCOMPLETE"
    with pytest.raises(LocalFault) as restarted:
        await guest.resume()
    assert restarted.value.reason == "GUEST_RESTARTED"
    assert (await node.driver.power("web1")).is_running
    assert not list(node.spool.rglob("*"))


@slow
async def test_a_suspend_that_failed_leaves_no_file_as_large_as_memory(bed: BhyveBed) -> None:
    node = bed.node("a")
    await node.start()
    node.fault(Fault.SUSPEND_FAILS)
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(LocalFault):
        await guest.suspend()
    assert (node.spool / "web1.out/state").exists()
    await guest.resume()
    assert not list(node.spool.rglob("*"))


@slow
async def test_files_that_a_dead_daemon_left_are_not_restored_over_a_newer_disk(
    bed: BhyveBed,
) -> None:
    node = bed.node("a")
    async with suspended(node) as (guest, _):
        kept, aside = node.spool / "web1.out", node.directory / "aside"
        shutil.copytree(kept, aside)
        await guest.resume()
        aside.rename(kept)  # as if the daemon had died before it removed them
        await node.beats_on()
        os.kill((await node.driver.power("web1")).pid, signal.SIGKILL)
        await guest.watch()
        with pytest.raises(LocalFault) as restarted:
            await guest.resume()
        assert restarted.value.reason == "GUEST_RESTARTED"


@slow
async def test_kept_state_goes_when_the_guest_is_stopped(bed: BhyveBed) -> None:
    node = bed.node("a")
    async with suspended(node):
        await node.driver.stop(bed.definition, force=True, timeout_s=0)
        await nothing_left(node)
