"""How many pages of a guest another guest of the same image has, and what a digest of each costs.

`python -m bench.alike [--seconds N]` boots Linux guests that do different work, compares their
memory, and prints what references to pages of other guests would save. Nothing is sent or kept.
See bench/README.md, and docs/adr/0029 for what follows. Needs QEMU.
"""

import argparse
import hashlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import RESULTS
from bench.guest import MIB
from bench.likeness import LEVEL, Pages, loaded, pages_of, saving, unpacked
from bench.running import say
from bmigd.chunk import PAGE_BYTES
from bmigd.transfer.digests import digests
from microvm.guest.rom import Program
from tests import needs
from tests.linuxguest.machine import image, machine
from tests.linuxguest.settings import Settings

WORKED_S, BOOT_S = 20, 180
HASHED_MIB, RUNS = 256, 5
LINKS = {"100 Mbit/s": 1e8, "1 Gbit/s": 1e9, "10 Gbit/s": 1e10}
THERE = "another"  # the guest that the destination has
FILLED_MIB = {"half": 64, "full": 176, "idle": 0, THERE: 64}


def work(number: int, rate_mib_per_s: float, filled_mib: int) -> Settings:
    """Of the guest program; what guests fill has nothing in common."""
    program = Program(
        rate_mib_per_s=rate_mib_per_s,
        set_bytes=filled_mib * MIB,
        zero_percent=0,
        seed=number << 32,  # of seeds side by side, one fills as the other does, a page later
    )
    return Settings(work=program)


GUESTS = {
    "half": work(1, 20, FILLED_MIB["half"]),
    "full": work(2, 20, FILLED_MIB["full"]),
    "idle": Settings(),
    THERE: work(3, 5, FILLED_MIB[THERE]),
}


def main() -> int:
    """Measure and print; the exit status."""
    asked = argparse.ArgumentParser(prog="python -m bench.alike")
    asked.add_argument("--seconds", type=float, default=WORKED_S, help="that the guests work")
    options = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    try:
        memories = run_guests(options.seconds)
    except needs.MISSING as reason:
        say(f"cannot run here: {reason}")
        return 1
    costs = digest_costs()
    for name, ms in costs.items():
        say(f"{name:10} {ms:.3f} ms of processor time for a MiB, page by page")
    made = image()
    kernel, initrd = made.kernel.read_bytes(), made.initrd.read_bytes()
    parts = {"loaded to boot": loaded(kernel, initrd), "files of the initrd": unpacked(initrd)}
    found = {name: pages_of(memory) for name, memory in memories.items()}
    for name in [one for one in found if one != THERE]:
        compare(name, found, parts)
        weigh(found[name], found[THERE], costs["SHA-256"])
    return 0


def run_guests(worked_s: float) -> dict[str, bytes]:
    """The memory of each, standing still."""
    with TemporaryDirectory() as name, ExitStack() as open_ones:
        started = {}
        for guest, settings in GUESTS.items():
            directory = Path(name) / guest
            directory.mkdir()
            memory = f"memory-backend-file,id=ram,size=256M,mem-path={directory}/ram,share=on"
            devices = ("-object", memory, "-machine", "memory-backend=ram")
            started[guest] = open_ones.enter_context(machine(directory, settings, *devices))
        for guest, running in started.items():
            running.says(b"HB " if GUESTS[guest].work else b"BOOT", BOOT_S)
        time.sleep(worked_s)
        for running in started.values():
            running.command("stop")
        return {guest: (Path(name) / guest / "ram").read_bytes() for guest in started}


def compare(name: str, found: dict[str, Pages], parts: dict[str, set[bytes]]) -> None:
    """What a guest has in common with the one at the destination, with all others, and itself."""
    pages, common = found[name], found[name].among(set(found[THERE].digests))
    others = {one for other, its in found.items() if other != name for one in its.digests}
    shares = {
        "repeated within itself": pages.repeats(),
        "in one other guest": common,
        "in any of three others": pages.among(others),
    }
    for part, its_digests in parts.items():
        shares[f"in one other, {part}"] = common & pages.among(its_digests)
    wire_mib, outside_mib = pages.wire_mib(pages.all()), pages.mib - FILLED_MIB[name]
    said = f"{pages.mib:.1f} MiB not zero, {wire_mib:.1f} MiB with zstd {LEVEL}"
    say(f"\n{name}: {FILLED_MIB[name]} MiB filled; {said}")
    for share, which in shares.items():
        mib, less_mib = which.sum() * PAGE_BYTES / MIB, wire_mib - pages.wire_mib(~which)
        of_each = f"{mib / pages.mib:6.1%} of all, {mib / outside_mib:6.1%} of what is not filled"
        on_wire = f"{less_mib:5.1f} MiB, {less_mib / wire_mib:6.1%} with zstd {LEVEL}"
        say(f"  {share:35} {mib:5.1f} MiB, {of_each}; {on_wire}")


def weigh(pages: Pages, there: Pages, sha256_ms: float) -> None:
    """What references to the other guest's pages save, and what they cost."""
    here_s, there_s = (one.mib * sha256_ms / 1e3 for one in (pages, there))
    say(f"  digests: {here_s:.2f} s of processor time here, {there_s:.2f} s there")
    rest_mib = pages.wire_mib(~pages.among(set(there.digests)))
    fastest = sending_mib_per_s()
    for link, bits_per_s in LINKS.items():
        rate = min(bits_per_s / 8 / MIB, fastest)
        gained = saving(len(pages.digests), pages.wire_mib(pages.all()), rest_mib, rate)
        say(f"  {link:10} {gained.sending_s:5.2f} s to send, {gained.saved_s:5.2f} s of it saved")


def digest_costs() -> dict[str, float]:
    """Milliseconds of processor time for a MiB, by kind: medians, the kinds in turns."""
    content = os.urandom(HASHED_MIB * MIB)
    view = memoryview(content)

    def each(digest: Callable[[memoryview], object]) -> None:
        for at in range(0, len(view), PAGE_BYTES):
            digest(view[at : at + PAGE_BYTES])

    kinds: dict[str, Callable[[], object]] = {
        "SHA-256": lambda: each(lambda page: hashlib.sha256(page).digest()),
        "BLAKE2b": lambda: each(lambda page: hashlib.blake2b(page, digest_size=32).digest()),
        "XXH3-64": lambda: digests(content, 1, PAGE_BYTES),
    }
    spent_ms: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(RUNS):
        for name, work_on in kinds.items():
            began = time.process_time()
            work_on()
            spent_ms[name].append((time.process_time() - began) * 1e3 / HASHED_MIB)
    return {name: statistics.median(values) for name, values in spent_ms.items()}


def sending_mib_per_s() -> float:
    """What a first round does without any limit, by the file of bench.throughput."""
    rows = json.loads((RESULTS / "throughput.json").read_text())["rows"]
    return statistics.median(float(row["round1_mib_per_s"]) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
