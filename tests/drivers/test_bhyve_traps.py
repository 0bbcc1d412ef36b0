"""What goes wrong with bhyve in particular: a bhyve of somebody else or that nobody watches, ports
that are taken, and a guest that is another one by now.
"""

import asyncio
import os
import signal
import socket
import subprocess

import pytest

from bmigd.drivers.bhyve.ports import screens
from bmigd.errors import StartFailed, Taken
from tests.drivers.bed import PATIENCE_S, eventually, nothing_left, pids_below
from tests.drivers.bhyve_bed import DEVICES, BhyveBed, BhyveNode
from tests.guests.definitions import a_guest

slow = pytest.mark.slow


def foreign(node: BhyveNode) -> subprocess.Popen[bytes]:
    """A bhyve of the guest's name that another program started."""
    rom = node.bed.definition.firmware.bootrom
    devices = ["-s", "31,lpc", "-s", f"4,virtio-blk,{node.bed.image()}"]
    argv = [str(node.home / "bin/bhyve"), *devices, "-m", "32M", "-l", f"bootrom,{rom}", "web1"]
    return subprocess.Popen(argv, stderr=subprocess.DEVNULL)


def kill_supervisor(node: BhyveNode) -> None:
    """By its process id."""
    for pid in pids_below(node.run):
        os.kill(pid, signal.SIGKILL)


async def wait_for_socket(node: BhyveNode) -> None:
    """Until a bhyve that was started by hand takes requests."""

    async def is_up() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(os.fspath(node.home / "run/web1")) == 0

    await eventually(is_up, "control socket")


# Somebody else's bhyve


@slow
async def test_a_bhyve_of_another_program_is_neither_ended_nor_doubled(bed: BhyveBed) -> None:
    node = bed.node("a")
    with foreign(node) as other:
        try:
            await wait_for_socket(node)
            with pytest.raises(Taken) as refused:
                await node.driver.start(bed.definition)
            assert refused.value.reason == "NAME_TAKEN"
            guest = node.driver.incoming(bed.definition)
            with pytest.raises(Taken):
                await guest.prepare()
            await guest.discard()
            await node.driver.stop(bed.definition, force=True, timeout_s=0)
            await node.driver.outgoing(bed.definition).release()
            assert other.poll() is None
            assert (node.home / "vmm/web1").exists()
            assert (node.home / "run/web1").is_socket()
        finally:
            other.kill()


@slow
async def test_what_a_dead_bhyve_left_is_no_obstacle(bed: BhyveBed) -> None:
    node = bed.node("a")
    with foreign(node) as other:
        await wait_for_socket(node)
        other.kill()
    assert (node.home / "vmm/web1").exists()
    await node.start()


@slow
async def test_a_guest_whose_supervisor_was_killed_is_not_started_twice(bed: BhyveBed) -> None:
    node = bed.node("a")
    await node.start()
    pid = (await node.driver.power("web1")).pid
    kill_supervisor(node)
    with pytest.raises(Taken, match="without the process that owned it") as refused:
        await node.driver.start(bed.definition)
    assert refused.value.advice == "end it with: bmigctl guest stop --force web1"
    os.kill(pid, 0)  # it runs on
    with pytest.raises(StartFailed) as lost:
        await node.driver.outgoing(bed.definition).resume()
    assert lost.value.reason == "SUPERVISOR_LOST"
    await node.driver.stop(bed.definition, force=True, timeout_s=0)
    await nothing_left(node)


# Screens


def test_a_screen_is_an_address_and_a_port() -> None:
    options: list[list[str]] = [["tcp=0.0.0.0:5901", "w=800"], ["rfb=5902"], ["tcp=x"], []]
    devices = [
        {"slot": str(slot), "emulation": "fbuf", "options": one} for slot, one in enumerate(options)
    ]
    other = {"slot": "9", "emulation": "lpc", "options": ["tcp=5904"]}
    assert screens(a_guest(devices=[*devices, other])) == [
        ("0.0.0.0", 5901),  # noqa: S104 - the guest's choice
        ("127.0.0.1", 5902),
    ]


@slow
async def test_a_port_that_is_taken_is_found_before_the_guest_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        screen = {"slot": "29", "emulation": "fbuf", "options": [f"tcp=127.0.0.1:{port}"]}
        bed = BhyveBed(devices=[*DEVICES, screen])
        try:
            node = bed.node("a")
            guest = node.driver.incoming(bed.definition)
            with pytest.raises(StartFailed, match=f"port {port}") as taken:
                await guest.prepare()
            assert taken.value.never_ran
            await guest.discard()
            await nothing_left(node)
            server.close()
            (await guest.prepare()).close()
            await guest.discard()
        finally:
            bed.close()


# A guest that is another one by now


@slow
async def test_memory_of_before_a_reboot_is_never_taken_for_what_will_be_restored(
    bed: BhyveBed,
) -> None:
    node = bed.node("a")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    live = await guest.open()
    before = (await node.driver.power("web1")).pid
    programs = node.home / "bin/bhyvectl"
    subprocess.run([programs, "--vm=web1", "--force-reset"], check=True, capture_output=True)

    async def has_rebooted() -> bool:
        power = await node.driver.power("web1")
        return power.is_running and power.pid != before and power.restarts == 1

    await eventually(has_rebooted, "reboot")
    await wait_for_socket(node)
    async with asyncio.timeout(PATIENCE_S):
        assert await guest.watch() == "it rebooted"  # though nobody watched when it did
    stood_still: list[bool] = []
    down = await guest.suspend(lambda: stood_still.append(True))
    assert not stood_still
    for memory in (live, down.memory):
        memory.close()
