"""A hypervisor that is slowed down really does less, answers whatever it must, and never stays
stopped: not when nobody renews it, and not when its supervisor is killed in the middle of a stop.

The hypervisor is a small process that counts, in a file that can be read at any time.
"""

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.errors import LocalFault
from bmigd.guests.dutycycle import LONGEST_STOP_S, MOST_PERCENT, SHORTEST_RUN_S, run_s, stop_s
from tests.guests.scripted import Guest

COUNTER = """
import mmap, signal, sys
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "r+b") as file:
    count = mmap.mmap(file.fileno(), 8)
n = 0
while True:
    n += 1
    count[:8] = n.to_bytes(8, "little")
"""
LONG_S = 60.0
pytestmark = pytest.mark.slow


class Counter:
    """A hypervisor that counts, below a supervisor."""

    def __init__(self, guest: Guest) -> None:
        self.guest, self.supervision = guest, guest.supervision
        self._file = guest.directory / "count"
        self._file.write_bytes(bytes(8))
        self._program = guest.directory / "counter.py"
        self._program.write_text(COUNTER)

    async def start(self, *options: str) -> None:
        """Run it until it counts."""
        self._file.write_bytes(bytes(8))
        words = " ".join([str(self._program), str(self._file), *options])
        await self.guest.run(self.guest.script("counter", f"exec {sys.executable} {words}"))
        self.process = psutil.Process((await self.guest.until("running")).pid)
        async with asyncio.timeout(20):
            while not self.count():
                await asyncio.sleep(0.01)

    def count(self) -> int:
        """How far it has come."""
        return int.from_bytes(self._file.read_bytes(), "little")

    async def speed(self, for_s: float = 0.6) -> float:
        """Counts per second."""
        before, began_s = self.count(), time.monotonic()
        await asyncio.sleep(for_s)
        return (self.count() - before) / (time.monotonic() - began_s)

    def is_stopped(self) -> bool:
        """Whether it is, just now."""
        return self.process.status() == psutil.STATUS_STOPPED

    async def until_stopped(self) -> None:
        """Wait for the next stop."""
        async with asyncio.timeout(20):
            while not self.is_stopped():
                await asyncio.sleep(0.001)

    async def require_full_speed(self, usual: float) -> None:
        """It is not stopped any more, and as fast as it was: a busy machine is borne with."""
        async with asyncio.timeout(20):
            while await self.speed(0.3) < 0.5 * usual:
                continue
        for _ in range(300):
            assert not self.is_stopped()
            await asyncio.sleep(0.001)


@pytest.fixture(name="counter")
async def make_counter(guest: Guest) -> Counter:
    """One that counts already."""
    counter = Counter(guest)
    await counter.start()
    return counter


@given(st.integers(1, MOST_PERCENT), st.floats(1e-4, 10))
def test_the_stop_makes_up_for_the_turn_before_it_and_never_lasts(
    stopped_percent: int, ran_s: float
) -> None:
    stopped_s = stop_s(ran_s, stopped_percent)
    assert 0 < stopped_s <= LONGEST_STOP_S
    if stopped_s < LONGEST_STOP_S:
        assert stopped_s / (stopped_s + ran_s) == pytest.approx(stopped_percent / 100)
    assert run_s(stopped_percent) >= SHORTEST_RUN_S
    assert stop_s(run_s(stopped_percent), stopped_percent) < LONGEST_STOP_S / 1.5


async def test_it_does_as_much_less_as_it_is_told_and_then_as_much_as_before(
    counter: Counter,
) -> None:
    usual = await counter.speed()
    speeds = {}
    for percent in (90, 50):
        await counter.supervision.throttle(percent, LONG_S)
        speeds[percent] = await counter.speed(1.0) / usual
    assert speeds[90] < 0.3
    assert speeds[90] < speeds[50] < 0.8
    await counter.supervision.throttle(0, LONG_S)
    await counter.supervision.throttle(0, LONG_S)  # again is nothing
    await counter.require_full_speed(usual)


async def test_a_lease_that_nobody_renews_ends(counter: Counter) -> None:
    usual = await counter.speed()
    for _ in range(4):
        await counter.supervision.throttle(MOST_PERCENT, 0.5)
        assert await counter.speed(0.4) < 0.3 * usual  # renewed in time
    await counter.require_full_speed(usual)


async def test_a_supervisor_that_is_killed_in_a_stop_leaves_it_running(counter: Counter) -> None:
    usual, supervisor = await counter.speed(), counter.process.parent()
    assert supervisor
    await counter.supervision.throttle(90, LONG_S)
    while not counter.is_stopped():
        supervisor.resume()
        await counter.until_stopped()
        supervisor.suspend()  # now nothing changes any more
        await asyncio.sleep(0.01)
    supervisor.kill()
    try:
        await counter.require_full_speed(usual)
    finally:
        counter.process.kill()


async def test_a_suspend_ends_it_and_is_not_slowed(counter: Counter) -> None:
    usual = await counter.speed()
    await counter.supervision.throttle(MOST_PERCENT, LONG_S)
    await counter.until_stopped()
    await counter.supervision.expect_suspend()
    assert not counter.is_stopped()
    with pytest.raises(LocalFault, match="being suspended") as fault:  # one that comes late
        await counter.supervision.throttle(MOST_PERCENT, LONG_S)
    assert fault.value.reason == "SUPERVISOR_REFUSED"
    await counter.supervision.throttle(0, LONG_S)
    await counter.require_full_speed(usual)


async def test_a_signal_reaches_a_slowed_one_at_once(guest: Guest) -> None:
    counter = Counter(guest)
    await counter.start("--deaf")
    usual = await counter.speed()
    await guest.supervision.throttle(MOST_PERCENT, LONG_S)
    await counter.until_stopped()
    await guest.supervision.signal("TERM")  # which it does not mind, as a guest may
    assert not counter.is_stopped()
    await counter.require_full_speed(usual)
    await guest.supervision.throttle(MOST_PERCENT, LONG_S)
    await counter.until_stopped()
    await guest.supervision.signal("KILL")
    assert (await guest.until("exited")).exit_status == -signal.SIGKILL


async def test_the_next_hypervisor_is_not_slowed(counter: Counter) -> None:
    usual = await counter.speed()
    await counter.supervision.throttle(MOST_PERCENT, LONG_S)
    os.kill(counter.process.pid, signal.SIGKILL)
    await counter.guest.until("exited")
    with pytest.raises(LocalFault, match="no hypervisor runs"):
        await counter.supervision.throttle(MOST_PERCENT, LONG_S)
    await counter.supervision.throttle(0, LONG_S)
    await counter.start()
    await counter.require_full_speed(usual)


@pytest.mark.parametrize(
    ("percent", "lease_s"), [(100, LONG_S), (-1, LONG_S), (50, 0.0), (50, 1e9)]
)
async def test_what_is_out_of_range_is_refused(
    counter: Counter, percent: int, lease_s: float
) -> None:
    with pytest.raises(LocalFault, match="out of range"):
        await counter.supervision.throttle(percent, lease_s)
    assert await counter.supervision.status()
    assert not counter.is_stopped()
