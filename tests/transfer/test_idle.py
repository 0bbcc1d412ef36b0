"""Processors are idle or not, whoever keeps them busy."""

import subprocess
import sys

import psutil

from bmigd.transfer.idle import Idle
from tests.daemons import eventually

COUNT = psutil.cpu_count() or 1


def test_processors_that_others_keep_busy_are_not_idle() -> None:
    idle = Idle()
    assert idle.processors() <= COUNT
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(COUNT)]
    try:
        eventually(lambda: 0.0 <= idle.processors() < COUNT / 2, what="busy processors")
    finally:
        for one in busy:
            one.kill()
            one.wait()
