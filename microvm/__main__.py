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
    command.add_argument("fault", nargs="*", help="such as: suspend-fails 'restore-slow 1.5'")
    command.set_defaults(run=_fault)
    return parser


def _fault(arguments: argparse.Namespace) -> None:
    for fault in arguments.fault:
        if fault.partition(" ")[0] not in faults.KNOWN:
            raise SystemExit(f"unknown fault {fault!r}; known: {', '.join(faults.KNOWN)}")
    path = arguments.dir / "faults" / arguments.name
    if arguments.fault:
        path.write_text("\n".join(arguments.fault) + "\n")
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    arguments = _parser().parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
