"""A storage that hangs holds up who asks for it, once, and nobody else, nor the daemon's end."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bmigd.errors import LocalFault
from bmigd.migration import looking
from bmigd.migration.looking import Looking
from tests.daemons import eventually

TANK, OTHER = "storage tank", "storage other"


@pytest.fixture(name="mended")
def make_mended(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until that is set a storage hangs."""
    monkeypatch.setattr(looking, "LOOK_S", 0.1)
    event = threading.Event()
    yield event
    event.set()


def hanging() -> int:
    return sum(one.name == "looking" for one in threading.enumerate())


async def silent(at: Looking, place: str, mended: threading.Event) -> LocalFault:
    with pytest.raises(LocalFault) as fault:
        await at.at(place, mended.wait)
    assert fault.value.reason == "STORAGE_SILENT"
    return fault.value


async def test_what_is_found_is_told_and_what_goes_wrong_too() -> None:
    at = Looking("host1")
    assert await at.at(TANK, lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        await at.at(TANK, lambda: open("/no/such/file"))  # noqa: PTH123, SIM115


async def test_only_who_asks_for_it_waits(mended: threading.Event) -> None:
    at = Looking("host1")
    fault = await silent(at, TANK, mended)
    assert fault.message.startswith("storage tank of host1 did not answer")
    assert await at.at(OTHER, lambda: 7) == 7


async def test_it_is_not_asked_again_until_it_answers(mended: threading.Event) -> None:
    at = Looking("host1")
    await asyncio.gather(*(silent(at, TANK, mended) for _ in range(3)))
    threads = hanging()
    asked = threading.Event()
    for _ in range(5):
        await silent(at, TANK, asked)
    assert hanging() == threads == 3
    mended.set()
    eventually(lambda: hanging() == 0, what="the end of what hung")
    assert await at.at(TANK, lambda: 7) == 7


HANGS = """
import asyncio, threading
from bmigd.migration import looking
looking.LOOK_S = 0.1
async def main():
    try:
        await looking.Looking("host1").at("storage tank", threading.Event().wait)
    except Exception as error:
        print(error.reason)
asyncio.run(main())
"""


def test_a_daemon_ends_while_a_storage_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "STORAGE_SILENT\n"
