"""Makes the ROM image of the guest program: code, parameter block, dictionary.

README.md states the format; what it says about n and the chain is a promise that
tests/oracle.py holds.
"""

from __future__ import annotations

import argparse
import struct
from dataclasses import dataclass
from pathlib import Path

from microvm.config import ConfigError, memory_size
from microvm.guest.program import CODE

PAGE = 4096
PARAMETERS_AT = 16
_BLOCK = struct.Struct("<8s13Q")
_VERSION = 1
_TOGGLE, _DISK = 1, 2
_DICTIONARY_WORDS = 256
_GOLDEN = 0.6180339887498949
_TEXT = """guest memory page dirty round source destination transfer chunk digest handoff
downtime switchover journal lease owner epoch peer region converge resume suspend pause state
the of and to in a is that for it was on are as with his they at be this from have or by one"""


@dataclass(frozen=True)
class Program:
    """What the guest is to do."""

    rate_mib_per_s: float = 20
    set_bytes: int = 64 << 20
    fill_bytes: int = 0
    text_percent: int = 30
    zero_percent: int = 20
    heartbeat_ms: int = 200
    seed: int = 1
    is_toggling: bool = False
    has_disk: bool = False
    disk_sectors: int = 2048
    disk_every: int = 64
    cold_every: int = 1

    def pages(self) -> tuple[int, int]:
        """(working set, all pages that are filled)."""
        working = self.set_bytes // PAGE
        return working, max(working, self.fill_bytes // PAGE)


def build(program: Program) -> bytes:
    """The image: one page of code, then the dictionary three times, in whole pages."""
    working, filled = program.pages()
    if working < 16 or program.zero_percent + program.text_percent > 100:
        raise ValueError(f"not a program: {program}")
    if program.heartbeat_ms < 1 or program.disk_sectors < 2 or program.disk_every < 1:
        raise ValueError(f"not a program: {program}")
    block = _BLOCK.pack(
        b"MICROVM1",
        _VERSION,
        program.seed,
        int(program.rate_mib_per_s * (1 << 20)),
        working,
        filled,
        _stride(working),
        _share(program.zero_percent),
        _share(program.zero_percent + program.text_percent),
        program.is_toggling * _TOGGLE + program.has_disk * _DISK,
        program.heartbeat_ms,
        program.disk_sectors,
        program.disk_every,
        program.cold_every if filled > working else 0,
    )
    code = CODE[:PARAMETERS_AT] + block + CODE[PARAMETERS_AT + len(block) :]
    image = code.ljust(PAGE, b"\0") + 3 * _dictionary()
    return image.ljust(-len(image) % PAGE + len(image), b"\0")


def _share(percent: int) -> int:
    return percent * (1 << 32) // 100


def _stride(pages: int) -> int:
    """A step that visits every page once, far from the page before."""
    from math import gcd

    step = max(1, int(pages * _GOLDEN))
    while gcd(step, pages) != 1:
        step += 1
    return step


def _dictionary() -> bytes:
    """Words in an order that does not repeat soon, cut to the size."""
    words, state, text = _TEXT.split(), 1, b""
    while len(text) < 8 * _DICTIONARY_WORDS:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        text += words[(state >> 33) % len(words)].encode() + b" "
    return text[: 8 * _DICTIONARY_WORDS]


def _size(text: str) -> int:
    try:
        return memory_size(text) if text[-1:].isalpha() else int(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the guest is to do."""
    standard = Program()
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=standard.rate_mib_per_s, help="MiB/s dirtied")
    parser.add_argument("--working-set", type=_size, default=standard.set_bytes)
    parser.add_argument("--fill", type=_size, default=0, help="filled, verified, not dirtied")
    parser.add_argument("--text", type=int, default=standard.text_percent, help="percent")
    parser.add_argument("--zero", type=int, default=standard.zero_percent, help="percent")
    parser.add_argument("--heartbeat-ms", type=int, default=standard.heartbeat_ms)
    parser.add_argument("--seed", type=int, default=standard.seed)
    parser.add_argument("--toggle", action="store_true", help="each page alternates A, B, A, B")
    parser.add_argument("--disk", action="store_true", help="write and verify the first disk")
    parser.add_argument("--disk-sectors", type=int, default=standard.disk_sectors)
    parser.add_argument("--disk-every", type=int, default=standard.disk_every)
    parser.add_argument("--cold-every", type=int, default=standard.cold_every)


def run(arguments: argparse.Namespace) -> None:
    """Write a ROM."""
    program = Program(
        rate_mib_per_s=arguments.rate,
        set_bytes=arguments.working_set,
        fill_bytes=arguments.fill,
        text_percent=arguments.text,
        zero_percent=arguments.zero,
        heartbeat_ms=arguments.heartbeat_ms,
        seed=arguments.seed,
        is_toggling=arguments.toggle,
        has_disk=arguments.disk,
        disk_sectors=arguments.disk_sectors,
        disk_every=arguments.disk_every,
        cold_every=arguments.cold_every,
    )
    arguments.out.write_bytes(build(program))
