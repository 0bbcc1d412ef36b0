"""Run in a fresh network namespace: a bridge with a cable to the outside, and who is seen on it.

`python -m tests.announce.cable announce MAC` announces one guest on the bridge and prints what came
out of the cable. `python -m tests.announce.cable migrate` runs two daemons in the namespace and
moves a guest with a network card from one to the other; every node has the bridge.
"""

import asyncio
import json
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from bmigd.announce import PAUSES_S, Announcer
from tests import needs
from tests.cluster import cluster

BRIDGE, PLUG, OUTSIDE = "bridge0", "plug", "outside"
# ifconfig(8) for bhyve's taps; a micro-VM does not open them.
IFCONFIG = """#!/bin/sh
case " $* " in *" create "*) echo tap0 ;; *" description "*) ;; *) ;; esac
"""


def make_bridge() -> None:
    """A bridge and a cable in this namespace."""
    for line in (
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"link add {PLUG} type veth peer name {OUTSIDE}",
        f"link set {PLUG} master {BRIDGE}",
        *(f"link set {one} up" for one in (BRIDGE, PLUG, OUTSIDE)),
    ):
        subprocess.run(["ip", *line.split()], check=True)  # noqa: S607


class Outside:
    """Everything that comes out of the cable."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((OUTSIDE, 0))

    def frames(self, count: int, timeout_s: float) -> list[bytes]:
        """Reverse ARP frames, until there are enough or it takes too long."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and (left_s := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left_s)[0]:
                frame = self._socket.recv(2048)
                if frame[12:14] == b"\x80\x35":
                    found.append(frame)
        return found


async def _announce(mac: str) -> None:
    announcer = Announcer({"lan": BRIDGE})
    announcer.announce("vm1", [("lan", mac), ("elsewhere", mac)])
    await asyncio.gather(*announcer._tasks)


def announce(mac: str) -> None:
    """One guest, announced; what was seen of it, on standard output."""
    make_bridge()
    outside = Outside()
    asyncio.run(_announce(mac))
    frames = outside.frames(len(PAUSES_S) + 1, 0.5)
    sys.stdout.write(json.dumps([frame.hex() for frame in frames]) + "\n")


def migrate() -> None:
    """A guest moves; the prechecks' finding and what was seen, on standard output."""
    make_bridge()
    outside = Outside()
    with cluster(["host1", "host2"], bhyve={"ifconfig": "ifconfig"}) as world:
        for node in world.nodes.values():
            program = node.directory / "ifconfig"
            program.write_text(IFCONFIG)
            program.chmod(0o700)
        world.make_guest("vm1", "host1", card="58:9c:fc:00:00:01")
        before = outside.frames(1, 0.2)
        check = world.ctl("check", "vm1", "host2").stdout
        world.migrate("vm1", "host2")
        frames = outside.frames(len(PAUSES_S), 5)
    seen = {"before": len(before), "check": check, "frames": [frame.hex() for frame in frames]}
    sys.stdout.write(json.dumps(seen) + "\n")


def in_namespace(*arguments: str) -> str:
    """Run this file in a network namespace of its own; its last line.

    Where the system does not let anybody make one it is missing (tests/needs.py).
    """
    unshare = ["unshare", "--map-root-user", "--net"]
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode:
        needs.missing(f"no network namespaces here: {allowed.stderr.strip()}")
    done = subprocess.run(
        [*unshare, sys.executable, "-m", __name__, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    if sys.argv[1] == "announce":
        announce(sys.argv[2])
    else:
        migrate()
