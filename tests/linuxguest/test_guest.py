"""The Linux guest itself: it works as its description says, on memory and on disks, it obeys the
console and the power button, and an error of memory that somebody else made is seen.
"""

import re
import subprocess
from pathlib import Path

import pytest

from microvm.guest import rom
from tests import needs
from tests.daemons import eventually
from tests.linuxguest.machine import Machine, machine
from tests.linuxguest.settings import Settings, require_unbroken, uptimes
from tests.oracle import Verdict, check_heartbeats, params_of, parse_heartbeats

pytestmark = pytest.mark.e2e

SMALL = rom.Program(rate_mib_per_s=20, set_bytes=8 << 20, fill_bytes=12 << 20, heartbeat_ms=50)
TOGGLING = rom.Program(rate_mib_per_s=20, set_bytes=2 << 20, heartbeat_ms=50, is_toggling=True)
WITH_DISK = rom.Program(
    rate_mib_per_s=20, set_bytes=4 << 20, heartbeat_ms=50, has_disk=True, disk_sectors=64
)


def disk(directory: Path, kind: str) -> tuple[str, ...]:
    """A disk image of a kind, as QEMU's arguments."""
    path = directory / f"disk.{kind}"
    if kind == "raw":
        with path.open("wb") as file:
            file.truncate(4 << 20)
    else:
        make = (needs.program("qemu-img"), "create", "-q", "-f", kind)
        subprocess.run([*make, path, "4M"], check=True)
    drive = f"file={path},if=none,id=d,format={kind},cache=none"
    return "-drive", drive, "-device", "virtio-blk-pci,drive=d"


def sweeps(guest: Machine, program: rom.Program, count: float) -> Verdict:
    """Everything that it printed is right, over so many sweeps of its memory."""

    def reached() -> Verdict | None:
        beats = parse_heartbeats(guest.console())
        if not beats or beats[-1].n < count * (program.set_bytes // 4096):
            return None
        return check_heartbeats(params_of(rom.build(program)), beats)

    found = eventually(reached, 60, f"{count} sweeps")
    assert isinstance(found, Verdict)
    return found


@pytest.mark.parametrize("program", [SMALL, TOGGLING], ids=["text and random", "toggling"])
def test_its_chain_is_the_one_of_its_description(tmp_path: Path, program: rom.Program) -> None:
    with machine(tmp_path, Settings(work=program)) as guest:
        sweeps(guest, program, 3)
        require_unbroken(uptimes(guest.console()), 2)


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_it_reads_its_disk_back(tmp_path: Path, kind: str) -> None:
    with machine(tmp_path, Settings(work=WITH_DISK), *disk(tmp_path, kind)) as guest:
        sweeps(guest, WITH_DISK, 10)  # of memory; of the disk more than two


def test_a_byte_of_its_memory_that_somebody_changed_is_seen(tmp_path: Path) -> None:
    ram = tmp_path / "ram"
    shared = f"memory-backend-file,id=ram,size=256M,mem-path={ram},share=on"
    devices = ("-object", shared, "-machine", "memory-backend=ram")
    with machine(tmp_path, Settings(work=SMALL), *devices) as guest:
        sweeps(guest, SMALL, 1)
        guest.command("stop")
        _damage(ram)
        guest.command("cont")
        wrong = re.compile(rb"^HB .* bad=[1-9]", re.MULTILINE)
        eventually(lambda: wrong.search(guest.console()), 30, "the damage on the console")


def _damage(ram: Path) -> None:
    """Flip one bit in pages of text, which are easily found."""
    content = ram.read_bytes()
    plain = rom.build(rom.Program())[4096:][:2048]
    words = {plain[at : at + 8] for at in range(0, 2048, 8)}
    with ram.open("r+b") as file:
        for at in range(64 << 20, len(content), 4096):
            if content[at + 8 : at + 16] in words and content[at + 2048 : at + 2056] in words:
                file.seek(at + 1024)
                file.write(bytes([content[at + 1024] ^ 1]))


def test_it_powers_off_at_the_button(tmp_path: Path) -> None:
    with machine(tmp_path, Settings()) as guest:
        guest.says(b"BOOT")
        guest.command("system_powerdown")
        assert guest.process.wait(30) == 0


@pytest.mark.parametrize("word", ["poweroff", "reboot"])
def test_it_obeys_the_console(tmp_path: Path, word: str) -> None:
    with machine(tmp_path, Settings()) as guest:
        guest.says(b"BOOT")
        guest.type("hello")
        guest.says(b"RX hello")
        guest.type(word)
        assert guest.process.wait(30) == 0  # QEMU was told to end at a reboot


def test_memtester_says_that_its_memory_is_right(tmp_path: Path) -> None:
    with machine(tmp_path, Settings(memtester="1M")) as guest:
        guest.says(b"MEMTESTER run=2 ok", 120)
        assert b"FAILED" not in guest.console()
