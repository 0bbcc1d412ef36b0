"""A pre-copy whose connection breaks goes on from the last acknowledged chunk when it comes back,
and the report says how often and for how long it was interrupted, and what was sent again.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.daemons import eventually
from tests.e2e.network.proxy import Mode
from tests.e2e.network.world import ANYHOW, World, mended, network
from tests.e2e.way import pulse

pytestmark = pytest.mark.e2e

MIB = 1 << 20
CUT_S = float(os.environ.get("BMIG_CUT_S", "60"))
WINDOW = 16 * MIB


@contextmanager
def with_guest(memory: str, fill: str) -> Iterator[World]:
    """A world with the daemons' own limits of a copy, and a guest full of noise on host1."""
    with network(migration={"blackout_silence_s": 10.0}) as world:
        rom = ("--rate", "1", "--working-set", "16M", "--fill", fill, "--heartbeat-ms", "50")
        world.cluster.make_guest("vm1", "host1", memory, *rom)
        eventually(lambda: pulse(world.cluster, "vm1", "host1") > 0, 120, "a filled guest")
        yield world


def acknowledged_in_cut(world: World, migration_id: str, mode: Mode, length_s: float) -> int:
    """Break host1's way for so long; what host2 had of the guest's memory then."""
    began_s, way = time.monotonic(), world.proxies["host1"]
    way.mode = mode
    progress = world.shown(migration_id, "host2")["progress"]
    time.sleep(max(0.0, began_s + length_s - time.monotonic()))
    way.mode = Mode.SOUND
    return int(progress.get("wire_bytes", 0))


@pytest.mark.parametrize(
    ("memory", "fill", "streams", "length_s"),
    [
        ("256M", "192M", "3", 8.0),
        ("1G", "900M", "1", CUT_S),
    ],
)
def test_a_cut_copy_goes_on_where_it_stood(
    memory: str, fill: str, streams: str, length_s: float
) -> None:
    with with_guest(memory, fill) as world, mended(world) as way:
        proxy = world.proxies["host1"]
        filled = int(fill[:-1]) * MIB
        started = world.cluster.start_migration(
            *("vm1", "host2", "--codec", "raw", "--streams", streams, *ANYHOW),
            *("--bandwidth", f"{filled // 16 // MIB}M"),
        )
        eventually(lambda: proxy.to_callee_bytes > filled // 2, 60, "half of the copy")
        acknowledged = acknowledged_in_cut(world, started, Mode.CUT, length_s)
        assert acknowledged > filled // 3
        world.await_phase(way, started, "PHASE_COMPLETED", "PHASE_ABORTED", timeout_s=60)
        ended = world.shown(started, "host1")
        assert ended["phase"] == "PHASE_COMPLETED", ended["failure"]
        report = ended["report"]
        told, wire = int(report.get("resent_bytes", 0)), int(report["wire_bytes"])
        seen = proxy.to_callee_bytes - wire  # and all of TLS, HTTP/2 and chunk headers
        print(  # noqa: T201 - figures for whoever asks for them with -s
            f"{length_s:g} s, {streams} streams: {acknowledged >> 20} MiB acknowledged,"
            f" {told / acknowledged:.2%} resent as told, {seen / acknowledged:.2%} as seen"
        )
        # A window is lost at most, which is little of a guest that is not a small one.
        most = 0.05 * acknowledged if memory == "1G" else WINDOW
        assert told < most
        assert seen < most
        (interruption,) = report["interruptions"]
        assert report["reconnects"] == 1
        assert interruption["heard_again"]
        assert not interruption.get("guest_down")
        lasted_s = int(interruption["duration_us"]) / 1e6
        assert length_s - 1 < lasted_s < length_s + 8, interruption
