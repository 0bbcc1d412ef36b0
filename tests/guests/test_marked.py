"""A hypervisor that the daemon keeps stopped until it sets the guest off: whether the guest ran is
what the daemon said before it could have, and the end of the hypervisor is the end of the guest.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest

from bmigd.errors import LocalFault
from bmigd.guests.supervision import VmmStatus
from tests.guests.scripted import Guest

pytestmark = pytest.mark.slow


async def execute(guest: Guest, then: str, **others: object) -> Path:
    """A hypervisor that waits for a line in the pipe, then does that."""
    pipe = guest.directory / "go"
    if not pipe.exists():
        os.mkfifo(pipe)
    argv = guest.script("first", f"read x < {pipe}; {then}", is_ready=False)
    await guest.supervision.run(argv=argv, **others)
    return pipe


async def end(guest: Guest, pipe: Path) -> VmmStatus:
    """Let it go on to its end."""
    await asyncio.to_thread(pipe.write_text, "now\n")
    return await guest.until("exited")


async def test_a_guest_that_was_not_marked_surely_never_ran(guest: Guest) -> None:
    pipe = await execute(guest, "exit 0")
    status = await guest.supervision.status()
    assert status
    assert (status.state, status.is_alive, status.was_ready) == ("starting", True, False)
    assert not (await end(guest, pipe)).was_ready


async def test_of_a_guest_that_was_marked_nobody_says_that_it_never_ran(guest: Guest) -> None:
    pipe = await execute(guest, "exit 1")
    status = await guest.supervision.mark_running()
    assert (status.state, status.was_ready) == ("running", True)
    assert (await end(guest, pipe)).was_ready


async def test_a_mark_is_taken_back_where_the_hypervisor_refused(guest: Guest) -> None:
    pipe = await execute(guest, "exit 1")
    await guest.supervision.mark_running()
    status = await guest.supervision.unmark_running()
    assert (status.state, status.was_ready) == ("starting", False)
    assert not (await end(guest, pipe)).was_ready


async def test_a_mark_of_an_earlier_hypervisor_is_not_taken_back(guest: Guest) -> None:
    pipe = await execute(guest, "exit 1")
    await guest.supervision.mark_running()
    await end(guest, pipe)
    assert (await guest.supervision.unmark_running()).was_ready
    await execute(guest, "exit 1")
    assert not (await guest.supervision.unmark_running()).was_ready


async def test_a_marked_guest_is_no_longer_being_suspended(guest: Guest) -> None:
    await execute(guest, "exit 0")
    await guest.supervision.mark_running()
    await guest.supervision.expect_suspend()
    assert not (await guest.supervision.mark_running()).expect_suspend


async def test_nothing_is_marked_without_a_hypervisor(guest: Guest) -> None:
    with pytest.raises(LocalFault, match="no hypervisor runs"):
        await guest.supervision.mark_running()


async def test_exit_status_0_is_a_power_off_where_nothing_is_to_be_started_again(
    guest: Guest,
) -> None:
    pipe = await execute(guest, "exit 0")
    await guest.supervision.mark_running()
    status = await end(guest, pipe)
    assert (status.exit_status, status.restarts, status.is_suspended) == (0, 0, False)
    assert guest.ran() == ["first"]


@pytest.mark.parametrize("is_suspended", [False, True])
async def test_scratch_files_go_with_a_guest_but_not_with_one_that_is_suspended(
    guest: Guest, *, is_suspended: bool
) -> None:
    memory = guest.directory / "ram"
    memory.touch()
    pipe = await execute(guest, "exit 0", scratch=[str(memory)])
    await guest.supervision.mark_running()
    if is_suspended:
        await guest.supervision.expect_suspend()
    await end(guest, pipe)
    assert memory.exists() == is_suspended


async def test_a_hypervisor_has_the_environment_that_it_was_given(guest: Guest) -> None:
    said = guest.directory / "said"
    pipe = await execute(guest, f'echo "$TRIED $HOME" > {said}', env={"TRIED": "a b"})
    await end(guest, pipe)
    assert said.read_text() == f"a b {os.environ['HOME']}\n"


async def test_a_mark_does_not_say_since_when_a_guest_runs(guest: Guest) -> None:
    pipe = await execute(guest, "exit 0")
    assert (await guest.supervision.mark_running()).ran_at_s == 0.0
    told_at_s = time.monotonic()
    await guest.supervision.note_ran()
    status = await guest.supervision.mark_running()  # once more, by a daemon that was restarted
    assert told_at_s < status.ran_at_s <= time.monotonic()
    assert (await guest.supervision.expect_suspend()).ran_at_s == 0.0  # it may end at any time now
    await end(guest, pipe)
