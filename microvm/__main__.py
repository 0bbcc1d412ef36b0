"""The micro-VM's own command: homes, guest ROMs and faults."""

from __future__ import annotations

import argparse
from pathlib import Path

from microvm import faults
from microvm.guest import rom
from microvm.install import install


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="microvm", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("install", help="make a home with bin/bhyve and bin/bhyvectl")
    command.add_argument("dir", type=Path)
    command.set_defaults(run=lambda a: install(a.dir))
    command = commands.add_parser("rom", help="make the ROM image of the guest program")
    rom.add_arguments(command)
    command.set_defaults(run=rom.run)
    command = commands.add_parser("fault", help="set the faults of a guest; none clears them")
    command.add_argument("dir", type=Path)
    command.add_argument("name", help="a guest, or all")
    command.add_argument("fault", nargs="*", help="such as: suspend-fails restore-slow 1.5")
    command.set_defaults(run=_fault)
    return parser


def _lines(words: list[str]) -> list[str]:
    """One line per fault; seconds may be a word of their own."""
    lines: list[str] = []
    for word in words:
        if lines and word.replace(".", "", 1).isdigit():
            lines[-1] += f" {word}"
        elif word.partition(" ")[0] in faults.KNOWN:
            lines.append(word)
        else:
            raise SystemExit(f"unknown fault {word!r}; known: {', '.join(faults.KNOWN)}")
    return lines


def _fault(arguments: argparse.Namespace) -> None:
    lines = _lines(arguments.fault)
    path = arguments.dir / "faults" / arguments.name
    if lines:
        path.write_text("\n".join(lines) + "\n")
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """One of the verbs."""
    arguments = _parser().parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
