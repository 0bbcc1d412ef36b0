"""QEMU on this host: its version, what its migration can do, and whether KVM is worth using."""

import base64
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bmigd.config import Qemu
from bmigd.drivers.base import DriverFacts
from bmigd.drivers.qemu.devices import MODELS
from bmigd.words import why

KVM = Path("/dev/kvm")
NEEDED = ("x-ignore-shared", "late-block-activate")  # of the capabilities of its migration
QUESTIONS = ("qmp_capabilities", "query-version", "query-migrate-capabilities", "quit")
PROBE_S = 20.0
# A boot ROM of 64 KiB that counts down from five million and ends QEMU with status 3:
#   mov ecx, 5000000; again: dec ecx; jnz again; mov al, 1; mov dx, 0xf4; out dx, al; hlt
COUNTING = base64.b16decode("66B9404B4C00664975FCB001BAF400EEF4")
RESET_AT, RESET = 0xFFF0, base64.b16decode("E90D00")  # jmp to its first byte
COUNTED = 3
FAST_ENOUGH_S = 2.0  # with the start of QEMU; interpreted in the host's kernel it takes four times


@dataclass(frozen=True)
class Probe:
    """What was found."""

    facts: DriverFacts
    accel: str


def probe(config: Qemu) -> Probe:
    """Ask QEMU, and try KVM where it may be used. Blocks for up to some seconds."""
    try:
        version, capabilities = _answers(config.qemu)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        words = why(error) if isinstance(error, OSError) else str(error)
        return Probe(_useless(f"{config.qemu} cannot be asked what it is: {words}"), "tcg")
    missing = [one for one in NEEDED if one not in capabilities]
    if missing:
        return Probe(_useless(f"migration of {version} lacks {', '.join(missing)}"), "tcg")
    accel = config.accel
    if accel == "auto":
        accel = "kvm" if is_kvm_fast(config.qemu) else "tcg"
    elif accel == "kvm" and not os.access(KVM, os.R_OK | os.W_OK):
        return Probe(_useless(f"qemu.accel is kvm, and {KVM} cannot be opened"), "kvm")
    facts = DriverFacts(
        *("qemu", f"{version}, {accel}"),
        can_snapshot=True,
        devices=tuple(MODELS),
        can_throttle=True,
    )
    return Probe(facts, accel)


def _useless(problem: str) -> DriverFacts:
    return DriverFacts("qemu", problem=problem, devices=tuple(MODELS))


def _answers(qemu: Path) -> tuple[str, set[str]]:
    """Version, and capabilities of migration."""
    asked = "".join(json.dumps({"execute": one}) + "\n" for one in QUESTIONS)
    argv = [*_bare(qemu), "-machine", "none", "-qmp", "stdio"]
    done = subprocess.run(
        argv, check=False, input=asked, capture_output=True, timeout=PROBE_S, text=True
    )
    if done.returncode:
        raise ValueError(done.stderr.strip()[-400:] or f"it exited with {done.returncode}")
    try:
        lines = map(json.loads, done.stdout.splitlines())
        _, version, capabilities, _ = [line["return"] for line in lines if "return" in line]
    except (ValueError, TypeError) as error:
        raise ValueError("it does not answer as QEMU does") from error
    number = ".".join(str(version["qemu"][part]) for part in ("major", "minor", "micro"))
    package = f" ({version['package']})" if version["package"] else ""
    return f"QEMU {number}{package}", {one["capability"] for one in capabilities}


def is_kvm_fast(qemu: Path, device: Path = KVM) -> bool:
    """Whether KVM runs guests natively: that it can be opened does not say so."""
    if not os.access(device, os.R_OK | os.W_OK):
        return False
    rom = (COUNTING.ljust(RESET_AT, b"\xf4") + RESET).ljust(1 << 16, b"\0")
    with tempfile.NamedTemporaryFile(suffix=".rom") as file:
        file.write(rom)
        file.flush()
        argv = [*_bare(qemu), "-machine", "pc", "-accel", "kvm", "-m", "16M", "-bios", file.name]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        try:
            done = subprocess.run(argv, check=False, capture_output=True, timeout=FAST_ENOUGH_S)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == COUNTED


def _bare(qemu: Path) -> list[str]:
    return [str(qemu), "-nodefaults", "-no-user-config", "-display", "none"]
