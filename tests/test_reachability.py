"""How long an address was silent, measured against a real one in another network namespace whose
cable is pulled for a while.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmigd.reachability import EVERY_S, Reachability
from tests.netlab import Lab, lab

FOUR, SIX = "10.9.0.1", "fd00::1"  # of host1
NOBODYS = "10.9.0.77"
PULLED_S = 0.4


@dataclass
class Asker:
    """This file as a program in the client's namespace."""

    process: "subprocess.Popen[bytes]"

    def says(self) -> object:
        """Its next line."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def go_on(self) -> None:
        """Let it ask whether the address answers again."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()


@pytest.fixture
def world() -> Iterator[Lab]:
    """Addresses of both versions."""
    with lab() as made:
        made.host1.ip(f"address add {SIX}/64 dev br-lan nodad")
        made.client.ip("address add fd00::9/64 dev uplink nodad")
        yield made


@contextmanager
def asking(world: Lab, address: str) -> Iterator[Asker]:
    """A program that asks the address until its input ends."""
    command = [*world.client.within, sys.executable, "-m", __name__, address]
    here, pipe = Path(__file__).parents[1], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=here) as process:
        try:
            yield Asker(process)
        finally:
            process.kill()


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_a_silence_is_measured(world: Lab, address: str) -> None:
    with asking(world, address) as asker:
        assert asker.says() is not None
        began_s = time.monotonic()
        world.switch.ip("link set host1 down")
        time.sleep(PULLED_S)  # so long is the silence
        world.switch.ip("link set host1 up")
        asker.go_on()
        silent_s = asker.says()
        took_s = time.monotonic() - began_s
    assert isinstance(silent_s, float)
    assert PULLED_S <= silent_s <= took_s + 2 * EVERY_S


def test_an_address_that_always_answers_was_not_silent(world: Lab) -> None:
    with asking(world, FOUR) as asker:
        asker.says()
        asker.go_on()
        silent_s = asker.says()
    assert isinstance(silent_s, float)
    assert silent_s < PULLED_S


def test_an_address_that_nobody_has_is_told_from_one_that_answers(world: Lab) -> None:
    with asking(world, NOBODYS) as asker:
        assert asker.says() is None


async def _main(address: str) -> None:
    asked = Reachability(address)
    for timeout_s in (1.0, 10.0):
        sys.stdout.write(json.dumps(await asked.again(timeout_s)) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
