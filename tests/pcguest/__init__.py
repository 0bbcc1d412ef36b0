"""A guest for QEMU that needs no operating system: the micro-VM's program, on a PC.

It is assembled when it is needed (binutils). Its heartbeats are those of the program, and
tests/oracle.py says what they must be.
"""

import functools
import subprocess
import tempfile
from pathlib import Path

from microvm import guest
from microvm.guest.rom import Program
from microvm.guest.rom import build as build_rom

HERE = Path(__file__).parent
PROGRAM = Path(guest.__file__).parent
CODE_BYTES, PARAMETERS = 4096, slice(16, 160)


@functools.cache
def _image() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        made, flat = Path(directory, "pc.o"), Path(directory, "pc.bin")
        for command in (
            ["as", "--64", "-I", str(PROGRAM), "-o", str(made), str(HERE / "pc.S")],
            ["objcopy", "-O", "binary", "-j", ".text", str(made), str(flat)],
        ):
            subprocess.run(command, check=True, timeout=30)
        return flat.read_bytes()


def build(program: Program) -> tuple[bytes, bytes]:
    """A kernel for -kernel, and the ROM of the same program for tests.oracle.params_of()."""
    rom, image = build_rom(program), bytearray(_image())
    assert not any(image[CODE_BYTES : len(rom)]), "the program is longer than a page"
    image[PARAMETERS] = rom[PARAMETERS]
    image[CODE_BYTES : len(rom)] = rom[CODE_BYTES:]
    return bytes(image), rom
