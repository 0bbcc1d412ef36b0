"""What `make trial` tells people to type works as it is told, and the README tells the same."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests import trial
from tests.cluster import Cluster
from tests.daemons import BIN, Node, eventually
from tests.oracle import parse_heartbeats

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="world")
def make_world() -> Iterator[Cluster]:
    """With certificates and nothing else yet."""
    world = Cluster(Path(mkdtemp(prefix="bmig-", dir="/dev/shm")))
    world.issue(trial.HOSTS)
    try:
        yield world
    finally:
        for name in trial.HOSTS:
            world.nodes[name] = Node(name, world.directory / name, 0)
        world.close()


def told(directory: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The commands, in order."""
    trial.main(str(directory))
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith(" ")]


@contextmanager
def typed(command: str, log: Path) -> Iterator[None]:
    """A daemon, until it is interrupted."""
    with log.open("wb") as words:
        daemon = subprocess.Popen(command.replace(".venv/bin", str(BIN)).split(), stderr=words)
    try:
        eventually(lambda: '"serving"' in log.read_text(), what="a daemon")
        yield
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(30)


def test_all_of_it_can_be_typed(world: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *commands = told(world.directory, capsys)
    assert told(world.directory, capsys) == [first, second, *commands]  # changes nothing
    with typed(first, world.directory / "1.log"), typed(second, world.directory / "2.log"):
        script = "\n".join(["set -e", *commands]).replace("$PWD/.venv/bin", str(BIN))
        done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "guest vm1 can go to host2" in done.stdout
    beats = parse_heartbeats(done.stdout.encode())
    assert beats and not [beat for beat in beats if beat.bad]  # noqa: PT018
    assert done.stdout.count("memory    equal on both sides") == 2
    assert done.stdout.rstrip().endswith("its disks are left alone")
    for host in trial.HOSTS:
        assert os.listdir(world.directory / host / "run") == []  # noqa: PTH208


def test_the_readme_tells_the_same() -> None:
    typed = trial.TYPED.format(directory=".trial")
    shown = (ROOT / "README.md").read_text()
    for line in typed.splitlines():
        assert line in shown, line
