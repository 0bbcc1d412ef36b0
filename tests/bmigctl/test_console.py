"""A guest's console: raw both ways on a terminal, output alone in a pipe."""

import asyncio
import os
import pty
import sys
import termios

import pytest

from tests.bmigctl.conftest import Operator, finish
from tests.bmigctl.nodes import FakeNode, Refusal, guest

pytestmark = pytest.mark.slow


@pytest.fixture
def host(host1: FakeNode) -> FakeNode:
    """A node whose guest has something on its console."""
    host1.guests["vm1"] = guest("vm1")
    host1.console = [b"FreeBSD/amd64\r\n", b"login: "]
    return host1


async def test_history_prints_what_there_is_and_ends(alice: Operator, host: FakeNode) -> None:
    ended = await alice.run("guest", "console", "vm1", "--history")
    assert (ended.code, ended.out) == (0, "FreeBSD/amd64\r\nlogin: ")


async def test_a_pipe_gets_the_output_until_it_is_closed(alice: Operator, host: FakeNode) -> None:
    process = await alice.start("guest", "console", "vm1")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"FreeBSD/amd64\r\n"
    await host.stop()  # the guest's node goes away
    ended = await finish(process)
    assert ended.code == 6
    assert "guest:    vm1, on host1" in ended.err


async def test_a_guest_that_does_not_run_has_no_console(alice: Operator, host: FakeNode) -> None:
    host.answers["AttachConsole"] = Refusal(
        "FAILED_PRECONDITION", "guest vm1 does not run", "GUEST_NOT_RUNNING"
    )
    ended = await alice.run("guest", "console", "vm1")
    assert ended.code == 3
    assert "start the guest first" in ended.err


async def test_a_terminal_is_joined_both_ways_and_given_back(
    alice: Operator, host: FakeNode
) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bmigctl",
        "--config",
        str(alice.config),
        "guest",
        "console",
        "vm1",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    async with asyncio.timeout(30):
        await _read_until(ours, b"login: ")
        os.write(ours, b"root\r")
        await _read_until(ours, b"<root\r>")
        os.write(ours, b"\x1d")
        assert await process.wait() == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


async def _read_until(terminal: int, wanted: bytes) -> None:
    loop = asyncio.get_running_loop()
    seen, found = bytearray(), asyncio.Event()

    def take() -> None:
        seen.extend(os.read(terminal, 4096))
        if wanted in seen:
            found.set()

    loop.add_reader(terminal, take)
    try:
        await found.wait()
    finally:
        loop.remove_reader(terminal)
