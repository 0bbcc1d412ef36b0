"""`make demo-qemu`: a booted Linux guest moves from host1 to host2 and back, and nobody notices.

For root the hosts are two network namespaces with a switch between them, and a client outside has
TCP sessions with the guest while it moves; for others they are two daemons on this machine, and the
guest has no card. Exits 1 if anything is not as it must be. Only the built guest, in .guest, stays.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack

from microvm.guest.rom import Program
from tests import needs
from tests.linuxguest.moving import ADDRESS, Build, LinuxGuest, linux_guest
from tests.linuxguest.session import Session, session
from tests.linuxguest.settings import Settings, uptimes
from tests.netlab import Lab, lab

RATE_MIB = 20
WORK = Program(
    rate_mib_per_s=RATE_MIB,
    set_bytes=64 << 20,
    fill_bytes=96 << 20,
    heartbeat_ms=200,
    has_disk=True,
    disk_every=256,
    cold_every=8,
)
STREAM_BYTES_PER_S = 4_000_000
SILENCE_LIMIT_MS = 10_000


def say(text: str) -> None:
    """A line of the demo."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it; the exit status."""
    began = time.monotonic()
    try:
        with ExitStack() as open_ones:
            network = open_ones.enter_context(lab()) if os.geteuid() == 0 else None
            where = "in two network namespaces" if network else "on this machine, without a network"
            say(f"== two daemons, host1 and host2, {where}")
            say(f"== guest vm1: Debian's kernel, 256 MiB, dirties {RATE_MIB} MiB/s, qcow2 disk")
            settings = Settings(work=WORK, address=f"{ADDRESS}/24" if network else "")
            guest = open_ones.enter_context(linux_guest(Build(settings, disk="qcow2"), network))
            say("== it runs: " + _last_heartbeat(guest))
            sessions = _sessions(open_ones, network)
            for destination in ("host2", "host1"):
                travel(guest, destination, sessions, is_probed=network is not None)
            conclude(guest, sessions)
    except needs.MISSING as reason:
        say(f"== cannot run here: {reason}")
        return 1
    except AssertionError as error:
        say(f"== FAILED: {error}")
        return 1
    say(f"== done in {time.monotonic() - began:.0f} s")
    return 0


def travel(
    guest: LinuxGuest, destination: str, sessions: dict[str, Session], *, is_probed: bool
) -> None:
    """One move, as an operator sees it; sessions and heartbeats go on."""
    options = ["--probe-address", ADDRESS] if is_probed else []
    say(f"\n$ bmigctl migrate vm1 {' '.join([destination, *options])}")
    command = [*guest.world.bmigctl(), "migrate", "vm1", destination, *options]
    command += ["--downtime-limit", "2000"]  # of a machine with other work on it
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    assert status == 0, f"the migration to {destination} ended with {status}"
    report = guest.world.migrations("vm1")[0]["report"]
    roots = report["source_memory_root"], report["destination_memory_root"]
    assert roots[0] == roots[1] != "", f"memory roots differ: {roots}"
    say(f"== tracker: {report['tracker']}")
    for one in sessions.values():
        one.goes_on()
    guest.goes_on()
    say(f"== on {destination}: {_last_heartbeat(guest)}")


def conclude(guest: LinuxGuest, sessions: dict[str, Session]) -> None:
    """Everything that must hold of both moves."""
    for name, one in sessions.items():
        report = one.end()
        assert report.longest_gap_ms < SILENCE_LIMIT_MS, f"session {name}: {report}"
        say(
            f"== session {name}: alive, never reset, {report.received_bytes} bytes in order,"
            f" longest gap {report.longest_gap_ms:.0f} ms"
        )
    verdict, ups = guest.verdict(), uptimes(guest.transcript.text)
    say(
        f"== {verdict.count} heartbeats, operations {verdict.first_n} to {verdict.last_n}:"
        " the chain equals the independent computation, no bad page, disk read back right"
    )
    say(f"== uptime {ups[0]:.1f} s to {ups[-1]:.1f} s, one boot")


def _sessions(open_ones: ExitStack, network: Lab | None) -> dict[str, Session]:
    if network is None:
        return {}
    say(f"== a client outside types at {ADDRESS}, and takes a stream from it")
    rate = str(STREAM_BYTES_PER_S)
    return {
        "keys": open_ones.enter_context(session(network.client, "keys", ADDRESS)),
        "stream": open_ones.enter_context(session(network.client, "stream", ADDRESS, rate)),
    }


def _last_heartbeat(guest: LinuxGuest) -> str:
    whole = [line for line in guest.transcript.text.splitlines() if b" up=" in line]
    return whole[-1].decode()


if __name__ == "__main__":
    sys.exit(main())
