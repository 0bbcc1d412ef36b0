"""What every bench does with its figures: medians and ranges, and a file that says where they are
from: the machine, the versions, the commit.
"""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cryptography
import grpc
import psutil
import zstandard

LOOK_S = 1.0
RESULTS = Path(__file__).parent / "results"
FIGURES = (":!results", ":!README.md")  # what benches write themselves


@dataclass(frozen=True)
class Spread:
    """Some values of one thing."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.least)} to {_short(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def origin() -> dict[str, Any]:
    """Where figures are from that will be taken here and now; looks for a second what others do."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.release()}",
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "busy_before_percent": psutil.cpu_percent(LOOK_S),
        "commit": _commit(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "zstandard": zstandard.__version__,
        "cryptography": cryptography.__version__,
        "qemu": _said("qemu-system-x86_64", "--version").partition("version ")[2],
    }


def write(name: str, content: dict[str, Any]) -> Path:
    """Into the directory of results; where it is."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def told(whence: dict[str, Any]) -> str:
    """An origin in a line."""
    parts = [whence.get("machine"), f"commit {whence.get('commit', 'unknown')}"]
    if "busy_before_percent" in whence:
        parts.append(f"processors {whence['busy_before_percent']:.0f} % busy before it began")
    elif "load_average" in whence:
        parts.append(f"load {whence['load_average']} when it ended")
    return "; ".join(part for part in parts if part)


def _commit() -> str:
    """What is checked out; with changes of anything but the figures themselves it says so."""
    said = _said("git", "rev-parse", "--short", "HEAD")
    changed = _said("git", "status", "--porcelain", "--untracked-files=no", "--", "..", *FIGURES)
    return f"{said}-dirty" if changed else said


def _processor() -> str:
    """As the kernel calls it; "" where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((one.partition(": ")[2] for one in lines if one.startswith("model name")), "")


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=RESULTS.parent
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.partition("\n")[0]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
