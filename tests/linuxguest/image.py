"""Builds the guest: kernel and initrd, from Debian's packages and the programs in guest/.

Needs Debian's apt with its lists, gcc with a static C library, and cpio; no root. What was built is
kept, under a name that changes with what it is made of.
"""

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from microvm.guest import rom

SOURCES = Path(__file__).parent / "guest"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "button", "evdev")
PROGRAMS = ("work", "serve")
TOOLS = ("busybox-static", "memtester", "libc6")
FROM_PACKAGES = {
    "bin/busybox": "bin/busybox",
    "sbin/memtester": "bin/memtester",
    "lib64/ld-linux-x86-64.so.2": "lib64/ld-linux-x86-64.so.2",
    "lib/x86_64-linux-gnu/libc.so.6": "lib/x86_64-linux-gnu/libc.so.6",
}
DICTIONARY_BYTES = 3 * 2048


@dataclass(frozen=True)
class Image:
    """What a hypervisor boots."""

    kernel: Path
    initrd: Path


class CannotBuild(Exception):
    """The guest cannot be built here; says why."""


def build(directory: Path) -> Image:
    """The guest below a directory, built if it is not there yet."""
    packages = [kernel_package(), *TOOLS]
    place = directory / _name(packages)
    if not place.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory) as work:
            made = Path(work) / "made"
            made.mkdir()
            _make(packages, Path(work), made)
            made.rename(place)
    return Image(place / "vmlinuz", place / "initrd")


def kernel_package() -> str:
    """Debian's newest kernel for clouds; CannotBuild where there is none."""
    said = _run("apt-cache", "depends", "linux-image-cloud-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if not found:
        raise CannotBuild("apt knows no linux-image-cloud-amd64: run apt-get update")
    return found[1]


def _name(packages: list[str]) -> str:
    parts = [path.read_bytes() for path in sorted(SOURCES.iterdir())]
    parts += [Path(__file__).read_bytes(), " ".join(packages).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _make(packages: list[str], work: Path, made: Path) -> None:
    system, root = work / "system", work / "root"
    _run("apt-get", "download", "-qq", *packages, cwd=work)
    for package in work.glob("*.deb"):
        _run("dpkg-deb", "--extract", package, system)
    (kernel,) = system.glob("boot/vmlinuz-*")
    shutil.copy(kernel, made / "vmlinuz")
    _fill_root(system, root)
    names = "\n".join(str(path.relative_to(root)) for path in [root, *sorted(root.rglob("*"))])
    archive = work / "archive"
    with archive.open("wb") as out:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"],  # noqa: S607
            input=names.encode(),
            stdout=out,
            check=True,
            cwd=root,
        )
    with (made / "initrd").open("wb") as out:
        subprocess.run(["gzip", "-1", "--stdout", archive], stdout=out, check=True)  # noqa: S607


def _fill_root(system: Path, root: Path) -> None:
    for directory in ("bin", "modules", "lib64", "lib/x86_64-linux-gnu"):
        (root / directory).mkdir(parents=True)
    for source, name in FROM_PACKAGES.items():
        places = (system / source, system / "usr" / source)
        shutil.copy(next(place for place in places if place.exists()), root / name)
    shutil.copy(SOURCES / "init", root / "init")
    (root / "init").chmod(0o755)
    (root / "dictionary").write_bytes(rom.build(rom.Program())[4096:][:DICTIONARY_BYTES])
    for name in PROGRAMS:
        flags = ("-O2", "-fno-tree-vectorize", "-Wall", "-Wextra", "-Werror", "-static")
        _run("gcc", *flags, "-o", root / "bin" / name, SOURCES / f"{name}.c")
    _copy_modules(system, root / "modules")


def _copy_modules(system: Path, to: Path) -> None:
    """The modules and what they depend on, and the order in which they go in."""
    known = {path.stem.replace("-", "_"): path for path in system.glob("**/*.ko")}
    order: list[str] = []

    def add(name: str) -> None:
        if name in order:
            return
        needed = re.search(rb"\0depends=([^\0]*)\0", known[name].read_bytes())
        for one in filter(None, needed[1].decode().split(",") if needed else []):
            add(one.replace("-", "_"))
        shutil.copy(known[name], to / name)
        order.append(name)

    for name in MODULES:
        add(name)
    (to / "order").write_text("".join(f"{name}\n" for name in order))


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    """A command's output; CannotBuild with its words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    except FileNotFoundError as error:
        raise CannotBuild(f"there is no {command[0]} here") from error
    if done.returncode:
        raise CannotBuild(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout
