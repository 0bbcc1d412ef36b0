"""Installation of a home: the two commands, and the directories that stand for /dev/vmm
and /var/run/bhyve.

The launchers hold the paths that start-up would otherwise search for: neither site
packages nor a binding are imported in a guest's downtime.
"""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from microvm.engine import library_path

_LAUNCHER = """\
#!/bin/sh
# {command} of the micro-VM home that this file is in; exec keeps the process id.
# The text is the same in every home, as the same build of a hypervisor is on every host.
MICROVM_HOME=${{0%/*}}/..
MICROVM_ENGINE={engine}
export MICROVM_HOME MICROVM_ENGINE
exec {python} -I -S -c {code} "$@"
"""
_CODE = (
    "import sys;sys.path[:0]={path!r};"
    "from microvm.{command} import main;sys.exit(main(sys.argv[1:]))"
)


def install(home: Path) -> None:
    """Create the home, or bring the launchers of an existing one up to date."""
    home = home.absolute()
    for name in (".", "bin", "vmm", "run", "faults"):
        (home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    root = str(Path(__file__).resolve().parent.parent)
    path = [root, _package("setproctitle")]
    for command in ("bhyve", "bhyvectl"):
        launcher = home / "bin" / command
        text = _LAUNCHER.format(
            command=command,
            engine=shlex.quote(library_path(_package("unicorn"))),
            python=shlex.quote(sys.executable),
            code=shlex.quote(_CODE.format(path=path, command=command)),
        )
        launcher.write_text(text)
        launcher.chmod(0o700)


def _package(name: str) -> str:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed: install the project with its demo extra")
    return spec.submodule_search_locations[0]
