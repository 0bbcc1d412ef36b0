"""A supervisor for every test that asks for one, ended afterwards."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.guests.scripted import Guest


@pytest.fixture
async def guest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    """A guest whose supervisor waits for its first order."""
    one = Guest(tmp_path_factory.mktemp("g"))
    one.supervision.directory.mkdir(mode=0o700)
    command = [sys.executable, "-m", "bmigd.guests.supervisor", str(one.supervision.directory)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        try:
            async with asyncio.timeout(60):
                yield one
                await one.end()
        finally:
            process.kill()  # nothing, unless something above went wrong
