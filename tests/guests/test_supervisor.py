"""A real supervisor with tiny shell scripts as hypervisors: what it starts, and starts again.

The promise that matters most: exit status 0 is a reboot, unless a suspend is expected.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest

from bmigd.errors import LocalFault
from bmigd.guests import supervision
from bmigd.guests.status import NOTHING_YET
from bmigd.guests.supervision import Supervision
from tests.guests.scripted import Guest

pytestmark = pytest.mark.slow


async def test_a_supervisor_answers_and_is_private(guest: Guest) -> None:
    status = await guest.supervision.status()
    assert status
    assert (status.state, status.pid, status.is_alive) == ("idle", 0, False)
    assert guest.supervision.exists
    for name in ("control", "console"):
        mode = (guest.supervision.directory / name).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert mode & 0o077 == 0
    assert guest.supervision.directory.stat().st_mode & 0o077 == 0


async def test_one_that_answers_is_not_started_again(guest: Guest) -> None:
    before = (guest.supervision.directory / "control").stat().st_ino
    await guest.supervision.ensure()
    assert (guest.supervision.directory / "control").stat().st_ino == before


async def test_one_is_started_where_none_answers_and_is_nobodys_child(tmp_path: Path) -> None:
    supervision = Supervision(tmp_path / "sup")
    await supervision.ensure()
    gc.collect()  # a process object that is dropped while it runs is a warning, so an error here
    status = await supervision.status()
    assert status
    assert not any(
        str(supervision.directory) in child.cmdline() for child in psutil.Process().children()
    )
    await supervision.quit()
    assert not supervision.directory.exists()


async def test_a_relative_path_leads_a_hypervisor_to_nothing_but_its_guests(guest: Guest) -> None:
    """Not to where the daemon was started, whose files others' guests must not open."""
    await guest.run(guest.script("run", f"pwd > {guest.directory}/pwd; exec sleep 60"))
    await guest.until("running")
    said = guest.directory / "pwd"
    async with asyncio.timeout(20):
        while not (said.exists() and said.read_text()):
            await asyncio.sleep(0.02)
    assert Path(said.read_text().strip()) == guest.supervision.directory


async def test_one_that_cannot_start_is_a_fault_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "sup" / "control").mkdir(parents=True)
    with pytest.raises(LocalFault, match=r"(?s)did not start.*control") as fault:
        await Supervision(tmp_path / "sup").ensure()
    assert fault.value.reason == "SUPERVISOR_FAILED"


async def test_a_path_that_is_too_long_for_its_sockets_is_refused_in_words(tmp_path: Path) -> None:
    supervision = Supervision(tmp_path / ("é" * 50))
    with pytest.raises(LocalFault, match="longer than 103") as fault:
        await supervision.ensure()
    assert fault.value.reason == "SUPERVISOR_FAILED"
    assert not supervision.directory.exists()


async def test_one_that_nobody_can_reach_any_more_ends_and_leaves_the_other_alone(
    guest: Guest,
) -> None:
    directory = guest.supervision.directory
    first = _owners(directory)
    (directory / "control").unlink()
    await guest.supervision.ensure()
    async with asyncio.timeout(20):
        while first & _owners(directory):
            await asyncio.sleep(0.05)
    status = await guest.supervision.status()
    assert status
    assert status.state == "idle"


def _owners(directory: Path) -> set[int]:
    """Supervisors of a directory."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if str(directory) in (process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    }


async def test_a_guest_runs_once_its_socket_appears(guest: Guest) -> None:
    guest.ready.touch()  # something stale does not count
    await guest.run(guest.script("first", "exec sleep 60"))
    status = await guest.until("running")
    assert status.was_ready
    os.kill(status.pid, 0)  # it exists
    assert guest.ready.is_socket()


async def test_what_is_added_to_its_environment_is_there_after_a_reboot_too(guest: Guest) -> None:
    heard = guest.directory / "heard"
    again = guest.script("again", f'echo "$SAID $HOME" >> {heard}; exec sleep 60')
    first = guest.script("first", f'echo "$SAID $HOME" >> {heard}; exit 0')
    await guest.run(first, restart_argv=again, env={"SAID": "it"})
    await guest.until("running", restarts=1)
    home = os.environ["HOME"]

    async with asyncio.timeout(20):
        while not heard.exists() or heard.read_text() != 2 * f"it {home}\n":
            await asyncio.sleep(0.01)


async def test_a_stale_socket_does_not_count(guest: Guest) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(guest.ready))
    await guest.run(guest.script("first", "exit 1", is_ready=False))
    status = await guest.until("exited")
    assert not status.was_ready


async def test_exit_status_0_is_a_reboot(guest: Guest) -> None:
    await guest.run(guest.script("first", "exit 0"))
    status = await guest.until("running", restarts=1)
    assert status.restarts == 1
    assert guest.ran() == ["first", "destroy", "again"]


async def test_a_guest_that_cannot_be_started_again_is_an_end_and_not_a_silence(
    guest: Guest,
) -> None:
    program = guest.directory / "gone"
    await guest.run(guest.script("first", "exit 0"), restart_argv=[str(program)])
    async with asyncio.timeout(20):
        status = await guest.supervision.until(lambda seen: bool(seen.error))
    assert (status.is_alive, status.restarts) == (False, 1)
    assert "cannot be started again" in status.error


async def test_exit_status_0_while_a_suspend_is_expected_is_not_a_reboot(guest: Guest) -> None:
    go = guest.directory / "go"
    os.mkfifo(go)
    await guest.run(guest.script("first", f"read x < {go}; exit 0"))
    await guest.until("running")
    assert (await guest.supervision.expect_suspend()).expect_suspend
    await asyncio.to_thread(go.write_text, "now\n")
    status = await guest.until("exited")
    assert (status.exit_status, status.restarts, status.pid) == (0, 0, 0)
    assert guest.ran() == ["first"]


@pytest.mark.parametrize("exit_status", [1, 2, 3, 100])
async def test_any_other_exit_status_is_the_end(guest: Guest, exit_status: int) -> None:
    await guest.run(guest.script("first", f"echo broken >&2; exit {exit_status}"))
    status = await guest.until("exited")
    assert (status.exit_status, status.restarts) == (exit_status, 0)
    assert status.was_ready
    assert status.error == "broken"


async def test_a_hypervisor_that_ends_before_its_guest_ran_is_told_apart(guest: Guest) -> None:
    for exit_status in (1, 0):  # 0 is no reboot of a guest that never ran
        await guest.run(guest.script("first", f"exit {exit_status}", is_ready=False))
        status = await guest.until("exited")
        assert (status.exit_status, status.was_ready) == (exit_status, False)
    assert guest.ran() == ["first", "first"]


async def test_a_program_that_does_not_exist_is_an_answer(guest: Guest) -> None:
    with pytest.raises(LocalFault) as fault:
        await guest.run(["/nonexistent/bhyve"])
    assert fault.value.reason == "SUPERVISOR_REFUSED"
    assert await guest.supervision.status()


async def test_there_is_one_hypervisor_at_a_time(guest: Guest) -> None:
    await guest.run(guest.script("first", "exec sleep 60"))
    with pytest.raises(LocalFault, match="runs already"):
        await guest.run(guest.script("second", "exec sleep 60"))
    with pytest.raises(LocalFault, match="still runs"):
        await guest.supervision.quit()
    await guest.until("running")
    assert guest.ran() == ["first"]


async def test_a_signal_reaches_the_hypervisor(guest: Guest) -> None:
    await guest.run(guest.script("first", "exec sleep 60"))
    await guest.until("running")
    await guest.supervision.signal("TERM")
    assert (await guest.until("exited")).exit_status == -signal.SIGTERM


async def test_an_unknown_order_is_an_answer_and_not_the_end(guest: Guest) -> None:
    with pytest.raises(LocalFault):
        await guest.supervision._ask(op="dance")
    await guest.run(guest.script("first", "exec sleep 60", is_ready=False))
    with pytest.raises(LocalFault):
        await guest.supervision.signal("NONSENSE")
    assert await guest.supervision.status()


async def test_nothing_can_be_expected_of_no_hypervisor(guest: Guest) -> None:
    with pytest.raises(LocalFault, match="no hypervisor runs"):
        await guest.supervision.expect_suspend()


async def test_a_supervisor_that_quits_leaves_nothing(guest: Guest) -> None:
    await guest.supervision.quit()
    assert not guest.supervision.exists
    assert not guest.supervision.directory.exists()
    assert await guest.supervision.status() is None
    await guest.supervision.quit()


async def test_the_console_shows_what_was_said_and_takes_what_is_typed(guest: Guest) -> None:
    talk = "echo hello > {console}; read line < {console}; echo got $line > {console}"
    await guest.run(guest.script("first", f"{talk}; exec sleep 60"))
    await guest.until("running")
    async with asyncio.timeout(20):
        history, reader, writer = await guest.supervision.console()
        while b"hello" not in history:
            history += await reader.read(100)
        writer.write(b"typed\n")
        said = b""
        while b"got typed" not in said:
            said += await reader.read(100)
        writer.close()
        later, _, second = await guest.supervision.console()
        second.close()
    assert b"hello" in later
    assert b"got typed" in later


async def test_a_console_without_a_supervisor_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(LocalFault) as fault:
        await Supervision(tmp_path / "nobody").console()
    assert fault.value.reason == "CONSOLE_GONE"


async def test_a_full_disk_under_its_log_keeps_it_from_nothing(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.supervision.directory.mkdir()
    (guest.supervision.directory / "supervisor.log").symlink_to("/dev/full")
    await guest.supervision.ensure()
    try:
        await guest.run(guest.script("first", "exit 0"))
        status = await guest.until("running", restarts=1)  # the reboot was seen
        assert guest.ran() == ["first", "destroy", "again"]
        os.kill(status.pid, signal.SIGKILL)
        assert (await guest.until("exited")).exit_status == -signal.SIGKILL
    finally:
        await guest.end()


async def test_a_hypervisor_that_cannot_be_killed_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "KILLED_S", 0.3)
    answering = set[asyncio.Task[None] | None]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As a supervisor does whose hypervisor hangs in the kernel: there is never a change."""
        answering.add(asyncio.current_task())
        if json.loads(await reader.readline())["op"] == "wait":
            await reader.read()  # until who asked has given up
        else:
            status = {**NOTHING_YET, "state": "running", "pid": 1, "was_ready": True}
            writer.write(json.dumps(status).encode() + b"\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(answer, tmp_path / "control"):
        with pytest.raises(LocalFault, match="hangs in the kernel") as fault:
            await Supervision(tmp_path).kill()
        assert fault.value.reason == "HYPERVISOR_STUCK"
        await asyncio.gather(*filter(None, answering))
