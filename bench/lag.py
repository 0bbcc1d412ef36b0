"""How long a daemon's event loop keeps others waiting, seen from outside.

A process of its own asks each daemon for its health over one kept connection, again 5 ms after
each answer. An answer comes out of the daemon's event loop, so it takes at least as long as the
loop is busy with others. It also takes what the machine and the connection take: that is what a
daemon with nothing to do, asked in the same way, is there for. For root this process goes before
all others, so that it waits for no processor itself. All this asking makes the migration slower.

`python -m bench.lag CERTS NAME=ADDRESS...` asks until its standard input ends, then prints figures.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.judging import percentile, with_those_never_asked
from tests.cluster import Cluster, within

EVERY_S = 0.005
PATIENCE_S = 20.0
PRIORITY = 1  # of the real-time ones, the least
OPERATOR = "alice"
Lag = dict[str, dict[str, float]]  # by daemon


class Asking(threading.Thread):
    """One daemon's answers."""

    def __init__(self, certs: Path, name: str, address: str) -> None:
        super().__init__(daemon=True)
        self._channel = as_operator(certs, name, address)
        self._stub = health_pb2_grpc.HealthStub(self._channel)
        self._over = threading.Event()
        self._took_s: list[float] = []
        self._longest = (0.0, 0.0)  # and when it was asked, since 1970
        self._once()  # the connection is made

    def run(self) -> None:
        """Until stopped."""
        while not self._over.wait(EVERY_S):
            asked_at_s, took_s = time.time(), self._once()
            self._took_s.append(took_s)
            self._longest = max(self._longest, (took_s, asked_at_s))

    def figures(self) -> dict[str, float]:
        """Of all answers, in ms; there are no more afterwards."""
        self._over.set()
        self.join()
        self._channel.close()
        took_s = with_those_never_asked(self._took_s or [self._once()], EVERY_S)
        return {
            "longest_ms": 1e3 * max(took_s),
            "longest_at_ms": 1e3 * self._longest[1],
            "p99_ms": 1e3 * percentile(took_s, 0.99),
            "median_ms": 1e3 * percentile(took_s, 0.5),
            "answers": len(self._took_s),
        }

    def _once(self) -> float:
        began = time.perf_counter()
        self._stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        return time.perf_counter() - began


def as_operator(certs: Path, name: str, address: str) -> grpc.Channel:
    """A connection to a daemon."""
    pair = certs / "operators" / OPERATOR
    credentials = grpc.ssl_channel_credentials(
        (certs / "ca.pem").read_bytes(),
        pair.with_suffix(".key").read_bytes(),
        pair.with_suffix(".pem").read_bytes(),
    )
    return grpc.secure_channel(
        address, credentials, options=[("grpc.ssl_target_name_override", name)]
    )


def ask_until_told(certs: Path, addresses: Mapping[str, str]) -> Lag:
    """Ask all of them until standard input ends."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    asked = {name: Asking(certs, name, address) for name, address in addresses.items()}
    for one in asked.values():
        one.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    return {name: one.figures() for name, one in asked.items()}


@contextmanager
def asking(world: Cluster) -> Iterator[Lag]:
    """All daemons of a cluster are asked meanwhile; what came of it is in the value afterwards."""
    figures: Lag = {}
    addresses = [f"{name}={node.address}" for name, node in world.nodes.items()]
    asker = subprocess.Popen(
        [
            *within(world.places.get("operator")),
            *(sys.executable, "-m", "bench.lag", str(world.certs), *addresses),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert asker.stdout
        assert asker.stdout.readline() == b"ready\n"
        yield figures
        said, _ = asker.communicate(timeout=2 * PATIENCE_S)
        figures.update(json.loads(said))
    finally:
        asker.kill()
        asker.wait()


def by_side(lag: Lag, here: str, there: str) -> Lag:
    """The daemons of a migration as its source and destination; others keep their names."""
    sides = {here: "source", there: "destination"}
    return {sides.get(name, name): figures for name, figures in lag.items()}


def told_lag(lag: Lag) -> str:
    """In a line."""
    return "; ".join(
        f"{who} answers within {one['longest_ms']:.1f} ms, 99 % within {one['p99_ms']:.1f} ms"
        for who, one in sorted(lag.items())
    )


if __name__ == "__main__":
    NAMED = dict(word.split("=", 1) for word in sys.argv[2:])
    print(json.dumps(ask_until_told(Path(sys.argv[1]), NAMED)))
