"""A QEMU whose supervisor was killed: it is told of, ended with its guest, and never run beside."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bmigd.errors import StartFailed, Taken
from bmigd.guests import supervision
from tests import qemu
from tests.drivers.bed import eventually, nothing_left
from tests.drivers.qemu_bed import QemuBed, QemuNode

pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture(name="node")
def make_node() -> Iterator[QemuNode]:
    """A node whose QEMU is the supervisor's child, with nothing between."""
    bed = QemuBed()
    try:
        yield bed.node("a").again(qemu=Path(qemu.program()))
    finally:
        bed.close()


async def kill_supervisor(node: QemuNode) -> int:
    """By its pid; the pid of the QEMU that it leaves behind."""
    directory = str(node.run / "web1")
    (supervisor,) = (
        one for one in psutil.process_iter(["cmdline"]) if directory in (one.info["cmdline"] or [])
    )
    (hypervisor,) = supervisor.children()
    os.kill(supervisor.pid, signal.SIGKILL)

    async def is_told() -> bool:
        return "watched it has ended" in (await node.driver.power("web1")).failed

    await eventually(is_told, "end of the supervisor")
    return hypervisor.pid


async def test_it_is_told_with_what_ends_it(node: QemuNode) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    power = await node.driver.power("web1")
    assert not power.is_running
    assert f"pid {pid}" in power.failed
    assert "guest stop --force" in power.failed


async def test_it_is_found_however_often_it_was_looked_for_and_though_it_hangs(
    node: QemuNode,
) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    os.kill(pid, signal.SIGSTOP)
    looks = [await node.driver.power("web1") for _ in range(5)]
    assert all(one.is_unwatched and f"pid {pid}" in one.failed for one in looks)


async def test_without_force_it_is_left_alone(node: QemuNode) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    with pytest.raises(Taken, match=f"pid {pid}"):
        await node.driver.stop(node.bed.definition, force=False, timeout_s=5)
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_supervisor_that_does_not_answer_has_not_ended(
    node: QemuNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "ANSWER_TIMEOUT_S", 0.5)
    await node.start()
    pid = (await node.driver.power("web1")).pid
    supervisor = psutil.Process(pid).parent()
    assert supervisor
    supervisor.suspend()
    try:
        assert not (await node.driver.power("web1")).is_unwatched
        with pytest.raises(StartFailed, match="SUPERVISOR_LOST"):
            await node.driver.outgoing(node.bed.definition).resume()
    finally:
        supervisor.resume()
    assert psutil.Process(pid).is_running()
    assert (await node.driver.power("web1")).is_running


async def test_no_guest_is_run_or_received_beside_it(node: QemuNode) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    with pytest.raises(Taken, match=f"pid {pid}"):
        await node.driver.start(node.bed.definition)
    with pytest.raises(Taken, match=f"pid {pid}"):
        await node.driver.incoming(node.bed.definition).prepare()
    assert psutil.pid_exists(pid)


async def test_it_is_ended_by_force_and_the_guest_starts_again(node: QemuNode) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    await node.driver.stop(node.bed.definition, force=True, timeout_s=1)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    await nothing_left(node)
    await node.start()


async def test_one_that_was_let_go_is_ended_even_if_it_hangs(node: QemuNode) -> None:
    await node.start()
    pid = await kill_supervisor(node)
    os.kill(pid, signal.SIGSTOP)
    await node.driver.outgoing(node.bed.definition).release()
    await nothing_left(node)


async def test_one_that_waited_for_a_guest_makes_room_for_the_next(node: QemuNode) -> None:
    guest = node.driver.incoming(node.bed.definition)
    (await guest.prepare()).close()
    await guest.stand_by()
    await kill_supervisor(node)
    again = node.driver.incoming(node.bed.definition)
    (await again.prepare()).close()
    await again.discard()
    await nothing_left(node)
