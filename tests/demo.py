"""`make demo`: a guest moves from host1 to host2 and back while it works, and nothing is lost.

Two daemons, real certificates, a guest of 256 MiB that dirties 20 MiB/s. Everything happens in
.demo inside the repository, and is gone afterwards. Exits 1 if anything is not as it must be.
"""

import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.cluster import Cluster
from tests.daemons import BIN, eventually
from tests.oracle import Verdict, check_heartbeats, params_of, parse_heartbeats

DIRECTORY = Path(".demo").absolute()
GUEST = (
    *("--rate", "20", "--working-set", "64M", "--fill", "128M"),
    *("--heartbeat-ms", "100", "--disk"),
)


def say(text: str) -> None:
    """A line of the demo."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it; the exit status."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir()
    world = Cluster(DIRECTORY)
    began = time.monotonic()
    try:
        say("== two daemons, host1 and host2, with certificates of a new CA")
        world.make(["host1", "host2"])
        world.start()
        say("== guest vm1: 256 MiB, dirties 20 MiB/s, writes its disk, prints heartbeats")
        world.make_guest("vm1", "host1", "256M", *GUEST)
        eventually(partial(beats, world, "host1"), what="a heartbeat")
        verdict = travel(world)
    except AssertionError as error:
        say(f"== FAILED: {error}")
        return 1
    finally:
        world.close()
    say(
        f"== {verdict.count} heartbeats checked, operations {verdict.first_n} to {verdict.last_n}:"
        " the chain equals the independent computation, no bad page, memory roots equal on both"
        f" moves ({time.monotonic() - began:.0f} s)"
    )
    return 0


def travel(world: Cluster) -> Verdict:
    """host1 to host2 to host1; everything that the guest printed is checked."""
    output = b""
    for here, there in (("host1", "host2"), ("host2", "host1")):
        listener = follow(world)
        say(f"\n$ bmigctl migrate vm1 {there}")
        status = subprocess.run(
            [BIN / "bmigctl", "--config", DIRECTORY / "alice.toml", "migrate", "vm1", there],
            stdin=subprocess.DEVNULL,
            check=False,
        ).returncode
        assert status == 0, f"the migration from {here} to {there} ended with {status}"
        output += listener.communicate(timeout=30)[0]
        newest = world.migrations("vm1")[0]["report"]
        roots = newest["source_memory_root"], newest["destination_memory_root"]
        assert roots[0] == roots[1] != "", f"memory roots differ: {roots}"
        eventually(partial(beats, world, there), what="a heartbeat")
    final = console_log(world, "host1")
    seen = len(final)
    eventually(lambda: len(console_log(world, "host1")) > seen + 200, what="more heartbeats")
    output += console_log(world, "host1")
    params = params_of((world.storage / "vm1.rom").read_bytes())
    return check_heartbeats(params, parse_heartbeats(output))


def beats(world: Cluster, node: str) -> bool:
    """Whether the guest has printed a heartbeat on a node."""
    return b"HB " in console_log(world, node)


def console_log(world: Cluster, node: str) -> bytes:
    """What the guest has printed on a node so far."""
    path = world.nodes[node].directory / "run/vm1/console.log"
    return path.read_bytes() if path.exists() else b""


def follow(world: Cluster) -> "subprocess.Popen[bytes]":
    """Listen to the console until the guest leaves."""
    return subprocess.Popen(
        [BIN / "bmigctl", "--config", DIRECTORY / "alice.toml", "guest", "console", "vm1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


if __name__ == "__main__":
    sys.exit(main())
