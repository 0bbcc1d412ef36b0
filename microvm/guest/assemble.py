"""Assembles program.S into program.py, so that running it needs no toolchain."""

from __future__ import annotations

import base64
import subprocess
import tempfile
import textwrap
from pathlib import Path

_HERE = Path(__file__).parent
_HEADER = '''\
"""The machine code of program.S, written by `python -m microvm.guest.assemble`."""

import base64

CODE = base64.b85decode(
'''


def assemble() -> bytes:
    """The machine code of program.S, from the system's assembler."""
    with tempfile.TemporaryDirectory() as directory:
        wanted, flat = Path(directory, "program.o"), Path(directory, "program.bin")
        for command in (
            ["as", "--64", "-o", str(wanted), str(_HERE / "program.S")],
            ["objcopy", "-O", "binary", "-j", ".text", str(wanted), str(flat)],
        ):
            subprocess.run(command, check=True, timeout=30)
        return flat.read_bytes()


def main() -> None:
    """Write program.py."""
    text = base64.b85encode(assemble()).decode()
    lines = "".join(f'    "{line}"\n' for line in textwrap.wrap(text, 92))
    (_HERE / "program.py").write_text(f"{_HEADER}{lines})\n")


if __name__ == "__main__":
    main()
