"""Faults on demand: each does what it says, and only while it is set."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.microvm.host import MIB, Host, wait_for

pytestmark = pytest.mark.slow


def test_a_suspend_that_fails_leaves_the_guest_running(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    guest.reach(50)
    host.fault("g", "suspend-fails")
    assert host.control("--vm=g", f"--suspend={tmp_path / 's'}").returncode == 0
    wait_for(lambda: "Failed to snapshot" in guest.errors(), "message")
    assert (tmp_path / "s").stat().st_size == 32 * MIB
    assert not (tmp_path / "s.kern").exists()
    guest.reach(guest.heartbeats()[-1].n + 50)
    host.fault("g")
    assert host.suspend(guest, tmp_path / "s") == 0


def test_a_suspend_may_be_slow(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    host.fault("all", "suspend-slow", "0.5")
    started = time.monotonic()
    assert host.suspend(guest, tmp_path / "s") == 0
    assert time.monotonic() - started > 0.5


def test_a_suspend_that_hangs_goes_on_when_the_fault_is_cleared(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    guest.reach(50)
    host.fault("g", "suspend-hangs")
    assert host.control("--vm=g", f"--suspend={tmp_path / 's'}").returncode == 0
    wait_for(lambda: (tmp_path / "s").exists() and guest.process.poll() is None, "hang")
    host.fault("g")
    assert guest.status() == 0
    assert (tmp_path / "s.meta").exists()


@pytest.mark.parametrize("fault", ["short-ram", "short-meta", "broken-meta"])
def test_a_damaged_snapshot_is_reported_as_success_and_cannot_be_restored(
    host: Host, tmp_path: Path, fault: str
) -> None:
    guest = host.start()
    host.fault("g", fault)
    assert host.suspend(guest, tmp_path / "s") == 0
    if fault != "short-ram":
        with pytest.raises(json.JSONDecodeError):
            json.loads((tmp_path / "s.meta").read_text())
    assert host.run("-r", str(tmp_path / "s"), *host.command("g")).status() == 1


def test_a_restore_may_fail(host: Host, tmp_path: Path) -> None:
    assert host.suspend(host.start(), tmp_path / "s") == 0
    host.fault("g", "restore-fails")
    assert host.run("-r", str(tmp_path / "s"), *host.command("g")).status() == 1
    host.fault("g")
    host.start("-r", str(tmp_path / "s"))


def test_a_process_may_die_before_or_after_its_socket_appears(host: Host) -> None:
    host.fault("g", "dies-on-start")
    assert host.run(*host.command("g")).status() == 4
    assert not host.socket("g").exists()
    host.fault("g", "dies-after-start 0.2")
    assert host.start().status() == 4
    assert host.node("g").exists()


def test_an_unknown_fault_is_refused(host: Host) -> None:
    command = [sys.executable, "-m", "microvm", "fault", str(host.home), "g", "gremlins"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert found.returncode == 1
    assert "suspend-fails" in found.stderr
