"""How every bench is asked, and how it speaks while it runs."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.figures import origin

RUNS = 5


@dataclass(frozen=True)
class Asked:
    """How much is to be measured."""

    runs: int
    is_quick: bool  # less of everything, and no files are written
    whence: dict[str, Any]  # where the figures of the files are from


def asked(name: str, words: Sequence[str] | None, quick_runs: int = 1) -> Asked:
    """From a command line; whoever ends us with SIGTERM has all processes ended that we started."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
    parser.add_argument("--runs", type=int, default=0, help=f"of each; {RUNS} if not said")
    parser.add_argument("--quick", action="store_true", help="less, and nothing is kept")
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runs = options.runs or (quick_runs if options.quick else RUNS)
    return Asked(max(1, runs), options.quick, {} if options.quick else origin())


@contextmanager
def other_end(module: str, *words: str) -> Iterator[int]:
    """The pid of a process of one of our modules that has said it is ready; killed afterwards."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def say(line: str) -> None:
    """A line of what is going on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
