"""Faults on demand: files in MICROVM_HOME/faults, read when the operation happens.

A file is named after a guest, or `all`; each line is a fault and, for some, seconds.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH123

from __future__ import annotations

import os
import time

KNOWN = {
    "suspend-fails": "the checkpoint fails after the memory was written; the guest goes on",
    "suspend-slow": "the checkpoint takes that many seconds longer",
    "suspend-hangs": "the checkpoint goes no further until the fault is cleared",
    "short-ram": "the memory file lacks its last page",
    "short-meta": "the index ends in the middle",
    "broken-meta": "the index is not JSON",
    "restore-fails": "-r exits 1 after reading the memory",
    "restore-slow": "-r takes that many seconds longer",
    "dies-on-start": "bhyve exits 4 before its socket appears",
    "dies-after-start": "bhyve exits 4 that many seconds after its socket appeared",
}


def _directory() -> str:
    return os.environ["MICROVM_HOME"] + "/faults"


def read(name: str) -> dict[str, str]:
    """The faults set now for this guest, with their arguments."""
    wanted: dict[str, str] = {}
    for file_name in ("all", name):
        try:
            with open(f"{_directory()}/{file_name}", encoding="utf-8") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            continue
        for line in lines:
            fault, _, argument = line.strip().partition(" ")
            if fault:
                wanted[fault] = argument
    return wanted


def seconds(wanted: dict[str, str], fault: str) -> float:
    """Of a fault that has some; 0 if it is not wanted."""
    return float(wanted.get(fault) or 0)


def delay(wanted: dict[str, str], fault: str) -> None:
    """Wait for as long as a fault says."""
    if fault in wanted:
        time.sleep(seconds(wanted, fault))


def hang(name: str, fault: str) -> None:
    """Hold on for as long as the fault is set."""
    while fault in read(name):
        time.sleep(0.02)
