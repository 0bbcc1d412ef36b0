"""Whether QEMU is here to be tested with: without it tests are skipped, but never in CI."""

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = "qemu-system-x86 qemu-utils binutils"
NEEDED = ("qemu-system-x86_64", "qemu-img", "as", "objcopy")
MACHINE = "pc-q35-7.2"

missing = [program for program in NEEDED if not shutil.which(program)]
needed = pytest.mark.skipif(
    bool(missing) and os.environ.get("CI") != "true",
    reason=f"not installed: {', '.join(missing)} (apt-get install {PACKAGES})",
)


def program() -> Path:
    """QEMU."""
    found = shutil.which("qemu-system-x86_64")
    assert found, "CI must install qemu-system-x86"
    return Path(found)


def image_tool() -> str:
    """The program that makes and checks images."""
    found = shutil.which("qemu-img")
    assert found, "CI must install qemu-utils"
    return found
