"""A guest goes on exactly where it was: across suspend, restore and many checkpoints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from microvm.guest.rom import Program
from tests.microvm.host import MIB, SMALL, Host, hosts, wait_for
from tests.oracle import check_heartbeats

pytestmark = pytest.mark.slow

PROGRAMS = {
    "plain": SMALL,
    "toggle": replace(SMALL, is_toggling=True),
    "cold": replace(SMALL, fill_bytes=6 * MIB),
    "busy": replace(SMALL, rate_mib_per_s=10_000, seed=7),
    "sparse": replace(SMALL, zero_percent=90, text_percent=10),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_chain_continues_on_another_host(tmp_path: Path, program: Program) -> None:
    with hosts(tmp_path / "a", program) as source, hosts(tmp_path / "b", program) as other:
        guest = source.start()
        before = guest.reach(700)
        assert source.suspend(guest, tmp_path / "s") == 0
        other.console("g").write_bytes(guest.console())
        moved = other.start("-r", str(tmp_path / "s"))
        moved.reach(before.n + 1500)
        assert moved.terminate() == 1
        verdict = check_heartbeats(source.params, moved.heartbeats())
        assert verdict.sweeps_verified > 2


def is_whole(snapshot: Path) -> bool:
    meta = Path(f"{snapshot}.meta")
    return meta.exists() and meta.read_bytes().endswith(b"}\n")


def test_a_busy_guest_survives_many_checkpoints(tmp_path: Path) -> None:
    with hosts(tmp_path / "a", PROGRAMS["busy"]) as host:
        guest = host.start(memory="16M")
        for at in range(12):
            snapshot = tmp_path / f"c{at}"
            assert host.control("--vm=g", f"--checkpoint={snapshot}").returncode == 0
            wait_for(partial(is_whole, tmp_path / f"c{at}"), "index")
        guest.reach(guest.heartbeats()[-1].n + 3000)
        check_heartbeats(host.params, guest.heartbeats())
        assert guest.terminate() == 1

        for at in (0, 5, 11):
            host.console("g").unlink()
            restored = host.start("-r", str(tmp_path / f"c{at}"), memory="16M")
            restored.wait_beats(10)
            check_heartbeats(host.params, restored.heartbeats())
            assert restored.terminate() == 1


def test_guest_time_does_not_see_the_downtime(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    last = guest.reach(300)
    assert host.suspend(guest, tmp_path / "s") == 0
    host.fault("g", "restore-slow 1.0")
    restored = host.start("-r", str(tmp_path / "s"))
    beats = restored.heartbeats()
    restored.reach(beats[-1].n + 1)
    following = next(b for b in restored.heartbeats() if b.n > beats[-1].n)
    # a second of downtime would allow a burst of 200 ms; two heartbeats' worth is 400 pages
    assert following.n - last.n < 1000
    assert restored.terminate() == 1


def test_a_guest_that_sleeps_is_suspended_at_once(tmp_path: Path) -> None:
    with hosts(tmp_path / "a", replace(SMALL, rate_mib_per_s=0)) as host:
        guest = host.start()
        guest.wait_beats(1)
        assert host.suspend(guest, tmp_path / "s") == 0
        restored = host.start("-r", str(tmp_path / "s"))
        before = len(restored.heartbeats())
        restored.wait_beats(before + 1)
        assert {b.n for b in restored.heartbeats()} == {0}


def test_the_disk_is_written_and_read_on_both_sides(tmp_path: Path) -> None:
    program = replace(SMALL, has_disk=True, disk_sectors=64, disk_every=3)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(64 * 512))
    with hosts(tmp_path / "a", program) as host:
        slot = ("-s", f"4:0,virtio-blk,{disk}")
        guest = host.start(*slot)
        guest.reach(600)
        assert host.suspend(guest, tmp_path / "s") == 0
        restored = host.start(*slot, "-r", str(tmp_path / "s"))
        restored.reach(guest.heartbeats()[-1].n + 600)
        assert restored.terminate() == 1
        check_heartbeats(host.params, restored.heartbeats())
        assert disk.read_bytes().count(b"\0") < 1024


def test_lost_memory_is_noticed(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    last = guest.reach(600)
    assert host.suspend(guest, tmp_path / "s") == 0
    with (tmp_path / "s").open("r+b") as memory:
        memory.seek(MIB)  # the first page of the data and all after it
        memory.write(bytes(2 * MIB))
    restored = host.start("-r", str(tmp_path / "s"))
    restored.reach(last.n + 1000)
    assert restored.heartbeats()[-1].bad > 100
    with pytest.raises(AssertionError, match="chain should be"):
        check_heartbeats(host.params, restored.heartbeats())


def test_a_guest_that_is_paused_again_and_again_loses_nothing(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    index = tmp_path / "s.meta"
    for _ in range(120):
        index.unlink(missing_ok=True)
        host.control("--vm=g", f"--checkpoint={tmp_path / 's'}")
        wait_for(lambda: index.exists() and index.read_bytes().endswith(b"}\n"), "a checkpoint")
    guest.wait_beats(len(guest.heartbeats()) + 3)
    check_heartbeats(host.params, guest.heartbeats())
