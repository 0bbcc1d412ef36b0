"""End-to-end throughput: guest memory of a 1 GiB guest, 700 MiB of it not zero, beside the same
bytes through a bare grpc.aio stream over mutual TLS, in turn in one run.

`python -m bench.throughput [RUNS]` prints a table and writes bench/results/throughput.json.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc

from bench.bare import send
from tests.cluster import Cluster, cluster, eventually, free_port

MIB = 1 << 20
FILL_MIB, SET_MIB = 684, 16
ROM = (
    *("--rate", "1", "--working-set", f"{SET_MIB}M", "--fill", f"{FILL_MIB}M"),
    *("--text", "30", "--zero", "0", "--heartbeat-ms", "200"),
)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run and report."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with cluster(["host1", "host2"]) as world:
        port = free_port()
        bare = subprocess.Popen(
            [sys.executable, "-m", "bench.bare", "serve", world.certs, str(port)],
            stdout=subprocess.PIPE,
        )
        try:
            assert bare.stdout
            assert bare.stdout.readline() == b"ready\n"
            rows = measure(world, port, runs)
        finally:
            bare.kill()
            bare.wait()
    report(rows)


def measure(world: Cluster, port: int, runs: int) -> list[dict[str, float]]:
    """One row a run: the bare stream, then a migration."""
    world.make_guest("vm1", "host1", "1G", *ROM)
    eventually(
        lambda: "HB " in world.ctl("guest", "console", "--history", "vm1").stdout,
        120,
        "a heartbeat",
    )
    rows = []
    chunk = os.urandom(MIB)
    for number in range(runs):
        there = ("host2", "host1")[number % 2]
        here = world.nodes["host1" if there == "host2" else "host2"]
        assert here.process
        bare_s = asyncio.run(send(world.certs, port, chunk, FILL_MIB + SET_MIB))
        growth = Growth(here.process.pid)
        moved = world.migrate("vm1", there, "--codec", "raw")
        rows.append(_row(moved, bare_s, growth.stop()))
    world.beats_on("vm1")
    return rows


def _row(moved: dict[str, Any], bare_s: float, growth_bytes: int) -> dict[str, float]:
    first = moved["report"]["rounds"][0]
    return {
        "bare_s": bare_s,
        "bare_mib_per_s": (FILL_MIB + SET_MIB) / bare_s,
        "round1_s": first["duration_us"] / 1e6,
        "round1_mib_per_s": first["dirty_bytes"] / MIB / (first["duration_us"] / 1e6),
        "ratio": first["dirty_bytes"] / MIB / (first["duration_us"] / 1e6)
        / ((FILL_MIB + SET_MIB) / bare_s),
        "total_s": moved["report"]["total_us"] / 1e6,
        "downtime_ms": moved["report"]["downtime_us"] / 1e3,
        "source_growth_mib": growth_bytes / MIB,
    }  # fmt: skip


class Growth(threading.Thread):
    """Samples a process's own memory; mapped files are the guest's and do not count."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._before = self._now()
        self.bytes = 0
        self.start()

    def run(self) -> None:
        """Until stopped."""
        while not self._over.wait(0.01):
            self.bytes = max(self.bytes, self._now() - self._before)

    def stop(self) -> int:
        """The largest growth."""
        self._over.set()
        self.join()
        return self.bytes

    def _now(self) -> int:
        for line in self._status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")


def report(rows: list[dict[str, float]]) -> None:
    """A table of medians and ranges, and the file."""
    for key in rows[0]:
        values = [row[key] for row in rows]
        sys.stdout.write(
            f"{key:20} median {statistics.median(values):9.2f}"
            f"   {min(values):9.2f} to {max(values):9.2f}\n"
        )
    RESULTS.mkdir(exist_ok=True)
    content = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.release()}",
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "rows": rows,
    }
    (RESULTS / "throughput.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
