"""A supervisor and suspends: expected, given up, late, undone. The guest is never lost over one."""

import asyncio
import os

import pytest

from tests.guests.scripted import Guest

pytestmark = pytest.mark.slow


async def test_a_suspend_that_was_given_up_and_comes_true_is_undone(guest: Guest) -> None:
    go, state = guest.directory / "go", guest.directory / "state"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; touch {state}.meta; exit 0"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    status = await guest.supervision.give_up_suspend(
        state, guest.script("restored", "exec sleep 60")
    )
    assert (status.expect_suspend, status.late_suspend) == (False, True)
    await asyncio.to_thread(go.write_text, "now\n")
    async with asyncio.timeout(20):
        async for status in guest.supervision.changes():
            if status.state == "running" and "restored" in guest.ran():
                break
    assert guest.ran() == ["first", "restored"]
    assert (status.restarts, status.late_suspend, status.is_suspended) == (0, False, False)
    assert not list(guest.directory.glob("state*"))  # as large as the guest's memory


async def test_a_late_suspend_that_cannot_be_undone_starts_the_guest_again(guest: Guest) -> None:
    go, state = guest.directory / "go", guest.directory / "state"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; touch {state}.meta; exit 0"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    damaged = guest.script("restored", "exit 1", is_ready=False)
    await guest.supervision.give_up_suspend(state, damaged)
    await asyncio.to_thread(go.write_text, "now\n")
    await guest.until("running", restarts=1)
    assert guest.ran() == ["first", "restored", "destroy", "again"]


async def test_a_late_suspend_that_is_being_undone_can_be_stopped(guest: Guest) -> None:
    go, state = guest.directory / "go", guest.directory / "state"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; touch {state}.meta; exit 0"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    slow = guest.script("restored", "exec sleep 60", is_ready=False)
    await guest.supervision.give_up_suspend(state, slow)
    await asyncio.to_thread(go.write_text, "now\n")
    async with asyncio.timeout(20):
        while "restored" not in guest.ran():
            await asyncio.sleep(0.005)
    await guest.supervision.expect_suspend()
    await guest.supervision.signal("KILL")
    assert (await guest.until("exited")).restarts == 0
    assert guest.ran() == ["first", "restored"]


async def test_a_suspend_is_given_up_too_late_when_it_came_true_already(guest: Guest) -> None:
    go = guest.directory / "go"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; exit 0"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    await asyncio.to_thread(go.write_text, "now\n")
    await guest.until("exited")
    status = await guest.supervision.give_up_suspend(guest.directory / "state", ["/bin/false"])
    assert (status.state, status.is_suspended, status.late_suspend) == ("exited", True, False)


async def test_a_guest_counts_as_suspended_until_it_runs_again(guest: Guest) -> None:
    go = guest.directory / "go"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; exit 0"))
    assert not (await guest.until("running")).is_suspended
    await guest.supervision.expect_suspend()
    await asyncio.to_thread(go.write_text, "now\n")
    assert (await guest.until("exited")).is_suspended
    await guest.run(guest.script("restored", "exit 1", is_ready=False))
    assert (await guest.until("exited")).is_suspended  # it can be tried again
    await guest.run(guest.script("restored", "exit 1"))
    status = await guest.until("exited")
    assert (status.was_ready, status.is_suspended) == (True, False)


async def test_a_guest_that_stops_while_a_suspend_is_expected_is_not_suspended(
    guest: Guest,
) -> None:
    go = guest.directory / "go"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; exit 1"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    await asyncio.to_thread(go.write_text, "now\n")
    assert not (await guest.until("exited")).is_suspended


async def test_what_was_said_before_a_suspend_is_told_apart(guest: Guest) -> None:
    await guest.run(guest.script("first", "echo failed before; exec sleep 60"))
    await guest.until("running")
    log = guest.supervision.directory / "vmm.log"
    while not log.read_bytes():
        await asyncio.sleep(0.005)
    status = await guest.supervision.expect_suspend()
    assert status.log_mark == len("failed before\n")


async def test_a_suspend_that_was_given_up_and_never_comes_leaves_reboots_reboots(
    guest: Guest,
) -> None:
    go = guest.directory / "go"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; exit 0"))
    await guest.until("running")
    await guest.supervision.expect_suspend()
    await guest.supervision.give_up_suspend(guest.directory / "state", ["/bin/false"])
    await asyncio.to_thread(go.write_text, "now\n")
    await guest.until("running", restarts=1)
    assert guest.ran() == ["first", "destroy", "again"]
