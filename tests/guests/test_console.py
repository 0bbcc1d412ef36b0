"""What is typed at a console reaches the guest whole; a guest that reads nothing holds nobody."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bmigd.guests import console
from bmigd.guests.console import Console

LONG = bytes(range(256)) * 400  # more than any terminal holds


@asynccontextmanager
async def opened(
    directory: Path,
) -> AsyncIterator[tuple[Console, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A console and whoever is attached to it."""
    made = Console(directory)
    await made.open()
    reader, writer = await asyncio.open_unix_connection(directory / "console")
    await reader.readexactly(4)  # nothing was said before
    try:
        yield made, reader, writer
    finally:
        writer.close()
        made.close()


async def test_a_guest_that_reads_slowly_gets_every_byte(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, _, writer):
        writer.write(LONG)
        guest = os.open(made.tty_path, os.O_RDONLY | os.O_NOCTTY)
        got = b""
        async with asyncio.timeout(30):
            while len(got) < len(LONG):
                got += await asyncio.to_thread(os.read, guest, 1000)
        os.close(guest)
        assert got == LONG


async def test_who_types_to_a_guest_that_reads_nothing_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PATIENCE_S", 0.1)
    async with opened(tmp_path) as (_, reader, writer):
        writer.write(LONG)
        async with asyncio.timeout(30):
            assert await reader.read() == b""


async def test_a_full_disk_under_its_log_keeps_no_reader_from_what_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, reader, _):
        made._log.close()
        made._log = open("/dev/full", "ab", buffering=0)  # noqa: PTH123, SIM115 - closed with it
        guest = os.open(made.tty_path, os.O_WRONLY | os.O_NOCTTY)
        os.write(guest, b"first")
        async with asyncio.timeout(30):
            assert await reader.readexactly(5) == b"first"
            os.write(guest, b"second")
            assert await reader.readexactly(6) == b"second"
        os.close(guest)
