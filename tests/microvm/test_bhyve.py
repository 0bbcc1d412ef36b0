"""The bhyve command: exit statuses, memory node, control socket, serial port."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.microvm.host import MIB, PLATFORM, SMALL, Host, hosts, wait_for
from tests.oracle import check_heartbeats, parse_heartbeats

pytestmark = pytest.mark.slow

UD2, RESET = b"\x0f\x0b", b"\x66\xba\x0c\x08\xb8\x01\x00\x00\x00\xef"
HALT, UNMAPPED = b"\xfa\xf4", b"\x48\xb8" + (1 << 40).to_bytes(8, "little") + b"\x8b\x00"


@pytest.mark.parametrize(
    ("code", "status"),
    [(RESET, 0), (HALT, 2), (UD2, 3), (UNMAPPED, -6)],
    ids=["reset", "halt", "triple fault", "abort"],
)
def test_the_exit_status_says_how_the_guest_ended(host: Host, code: bytes, status: int) -> None:
    host.rom.write_bytes(code.ljust(4096, b"\x90"))
    assert host.run(*host.command("g")).status() == status
    assert host.node("g").exists()


def test_the_power_button_ends_the_guest_and_keeps_the_node(host: Host) -> None:
    guest = host.start()
    guest.reach(50)
    assert guest.terminate() == 1
    assert b"POWEROFF n=" in guest.console()
    assert host.node("g").exists()
    again = host.start()  # an existing node is initialised again
    again.reach(50)
    assert again.terminate() == 1
    assert host.control("--vm=g", "--destroy").returncode == 0
    assert not host.node("g").exists()


def test_option_d_destroys_the_node_on_power_off(host: Host) -> None:
    guest = host.start("-D")
    assert guest.terminate() == 1
    assert not host.node("g").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-h"], 0, "-r:"),
        ([], 1, "Usage"),
        (["-z", "g"], 1, "Usage"),
        (["a", "b"], 1, "Usage"),
        ([*PLATFORM, "g"], 4, "virtual machine cannot be booted"),
        (["-s", "1,quantum", "-l", "bootrom,x", "g"], 4, 'unknown device "quantum"'),
        (["-s", "99,lpc", "g"], 4, "Invalid PCI slot"),
        (["-s", "2,virtio-net", "-l", "bootrom,x", "g"], 4, "no backend"),
        (["-s", "2,virtio-blk", "-l", "bootrom,x", "g"], 4, "no path"),
        (["-m", "lots", "g"], 4, "invalid memsize"),
        (["-U", "42", "g"], 4, "invalid UUID"),
        (["-l", "bootrom,/none", "g"], 4, "/none"),
        (["-l", "bootrom,x", "a/b"], 4, "Invalid argument"),
        (["-k", "/none", "g"], 4, "configuration file"),
    ],
)
def test_a_wrong_command_line_is_refused(
    host: Host, arguments: list[str], status: int, message: str
) -> None:
    guest = host.run(*arguments)
    assert guest.status() == status
    assert message in guest.errors()


def test_a_name_too_long_for_a_socket_is_refused(host: Host) -> None:
    guest = host.run(*host.command("g")[:-1], "-o", f"rundir=/tmp/{'r' * 100}", "g")
    assert guest.status() == 4
    assert "socket address" in guest.errors()


def test_a_second_process_of_a_name_is_refused(host: Host) -> None:
    guest = host.start()
    assert host.run(*host.command("g"), name="second").status() == 4
    assert guest.reach(50)


def test_memory_is_seen_live_through_the_node(host: Host) -> None:
    guest = host.start()
    guest.reach(10)
    assert stat.S_IMODE(host.node("g").stat().st_mode) == 0o600
    fd = os.open(host.node("g"), os.O_RDONLY)
    try:
        first = os.pread(fd, 8, 0x8000)  # n, the guest's counter
        wait_for(lambda: os.pread(fd, 8, 0x8000) != first, "change of memory")
    finally:
        os.close(fd)


def test_memory_above_4_gib_is_used_and_saved(tmp_path: Path) -> None:
    with hosts(tmp_path / "h", replace(SMALL, set_bytes=4 * MIB)) as host:
        guest = host.start(memory="3088M")
        guest.reach(1200)
        fd = os.open(host.node("g"), os.O_RDONLY)
        try:
            assert os.fstat(fd).st_size == (4 << 30) + 16 * MIB
            high = [os.pread(fd, 4096, (4 << 30) + at) for at in range(0, 2 * MIB, 4096)]
            assert sum(any(page) for page in high) > 300
            assert not any(os.pread(fd, MIB, (4 << 30) + 2 * MIB))
        finally:
            os.close(fd)
        assert host.node("g").stat().st_blocks * 512 < 16 * MIB
        check_heartbeats(host.params, guest.heartbeats())


def test_a_destroyed_vm_ends_its_process(host: Host) -> None:
    guest = host.start()
    assert host.control("--vm=g", "--destroy").returncode == 0
    assert guest.status() == 4


@pytest.mark.parametrize(("force", "status"), [("poweroff", 1), ("reset", 0)])
def test_a_guest_is_ended_by_force(host: Host, force: str, status: int) -> None:
    guest = host.start()
    assert host.control("--vm=g", f"--force-{force}").returncode == 0
    assert guest.status() == status


def test_bhyvectl_reports_only_that_the_request_left(host: Host, tmp_path: Path) -> None:
    usage = host.control()
    assert usage.returncode == 1
    assert all(o in usage.stderr for o in ("--checkpoint=", "--suspend=", "--rundir"))
    assert host.control("--vm=g", "--suspend=a", "--checkpoint=b").returncode == 1
    assert host.control("--vm=g", "--create").returncode == 0
    assert host.control("--vm=g", "--create").returncode == 1
    assert host.control("--vm=g", f"--suspend={tmp_path / 's'}").returncode == 2  # ENOENT
    guest = host.start()
    assert host.control("--vm=g", "--suspend=/none/s").returncode == 2
    guest.process.kill()
    guest.status()
    assert host.control("--vm=g", f"--suspend={tmp_path / 's'}").returncode == 111  # refused


def test_bhyvectl_says_the_processors_that_the_guest_was_started_with(host: Host) -> None:
    def processors() -> list[str]:
        asked = ("--get-cpu-topology", "--get-active-cpus", "--get-suspended-cpus")
        return host.control("--vm=g", *asked).stdout.splitlines()

    one = "cpu_topology:\tsockets=1, cores=1, threads=1, maxcpus=64"
    new = [one, "active cpus:\t (none)", "suspended cpus:\t (none)"]
    assert host.control("--vm=g", "--create").returncode == 0
    assert processors() == new
    guest = host.start("-c", "cpus=4,sockets=2,cores=1,threads=2")
    several = "cpu_topology:\tsockets=2, cores=1, threads=2, maxcpus=64"
    found = [several, "active cpus:\t 0, 1, 2, 3", "suspended cpus:\t (none)"]
    assert processors() == found
    guest.process.kill()
    guest.status()
    assert processors() == found  # the VM is still there
    again = host.start()
    assert processors() == [one, "active cpus:\t 0", "suspended cpus:\t (none)"]
    assert again.terminate() == 1
    for command in ("--destroy", "--create"):
        assert host.control("--vm=g", command).returncode == 0
    assert processors() == new


def test_the_run_directory_may_be_elsewhere(host: Host, tmp_path: Path) -> None:
    rundir = tmp_path / "r"
    rundir.mkdir()
    guest = host.run("-o", f"rundir={rundir}", *host.command("g"))
    wait_for((rundir / "g").exists, "socket")
    assert (
        host.control("--vm=g", f"--rundir={rundir}", f"--suspend={tmp_path / 's'}").returncode == 0
    )
    assert guest.status() == 0


def test_requests_queue_and_run_one_after_the_other(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    host.fault("g", "suspend-slow 0.3")
    for name in ("c", "d", "s"):
        verb = "suspend" if name == "s" else "checkpoint"
        assert host.control("--vm=g", f"--{verb}={tmp_path / name}").returncode == 0
    assert guest.status() == 0
    assert all((tmp_path / f"{name}.meta").exists() for name in "cds")


def test_config_dump_resolves_files_and_options(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("# guest\n\ncpus=3\nmemory.size=1G\n")
    command = [str(host.home / "bin/bhyve"), "-k", str(file), "-m", "64M", "-s", "3,ahci-hd,/d,ro"]
    guest = host.run("-k", str(file), "-m", "64M", "-o", "config.dump=1", "g")
    assert guest.status() == 1
    found = subprocess.run([*command, "-o", "config.dump=1", "g"], capture_output=True, text=True)
    lines = found.stdout.splitlines()
    wanted = {
        "cpus=3",
        "memory.size=64M",
        "pci.0.3.0.device=ahci-hd",
        "pci.0.3.0.path=/d",
        "name=g",
    }
    assert wanted <= set(lines)


def test_the_console_is_a_terminal_in_both_directions(host: Host) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    received = bytearray()

    def printed(text: bytes) -> bool:
        try:
            received.extend(os.read(master, 65536))
        except BlockingIOError:
            return False
        return text in received

    command = [
        *PLATFORM,
        "-m",
        "32M",
        "-l",
        f"bootrom,{host.rom}",
        "-l",
        f"com1,{os.ttyname(slave)}",
    ]
    guest = host.run(*command, "g")
    try:
        wait_for(lambda: printed(b"HB n="), "heartbeat")
        os.write(master, b"A")
        wait_for(lambda: printed(b"RX byte=65\n"), "answer")
        assert guest.terminate() == 1
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_nobody_reads_does_not_stop_the_guest(host: Host, tmp_path: Path) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    serial = f"com1,{os.ttyname(slave)}"
    try:
        guest = host.run(*PLATFORM, "-m", "32M", "-l", f"bootrom,{host.rom}", "-l", serial, "g")
        wait_for(host.node("g").exists, "node")
        fd = os.open(host.node("g"), os.O_RDONLY)

        def count() -> int:
            return int.from_bytes(os.pread(fd, 8, 0x8000), "little")

        wait_for(lambda: count() > 12_000, "operations")  # the terminal holds 4 KiB
        os.close(fd)
        assert host.suspend(guest, tmp_path / "s") == 0
        host.start("-r", str(tmp_path / "s"))  # what was not taken comes out here
        text = bytearray(os.read(master, 65536))
        wait_for(lambda: len(host.console("g").read_bytes()) > 4096, "rest of the output")
        text += host.console("g").read_bytes()
        beats = parse_heartbeats(bytes(text))
        check_heartbeats(host.params, beats)
        assert text.count(b"\n") == len(beats) + 2  # BOOT and FILLED; no line is torn
    finally:
        os.close(master)
        os.close(slave)


def test_a_disk_that_is_too_small_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(bytes(512))
    with hosts(tmp_path / "h", replace(SMALL, has_disk=True)) as host:
        guest = host.run("-s", f"3,ahci-hd,{tmp_path / 'd'}", *host.command("g"))
        assert guest.status() == 2
        assert b"PANIC the disk is too small" in guest.console()
