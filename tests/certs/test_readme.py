"""The commands of the README are run as they stand there, and leave what a daemon accepts."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import certs.authority
from bmigd.security.certificates import load

FOLDER = Path(certs.authority.__file__).parent
NODE_TLS = "/usr/local/etc/bmig/tls"


def commands() -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL))


def put(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.slow
def test_every_command_of_the_readme_works(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("authority.py", "issue.py", "placing.py"):
        shutil.copy(FOLDER / name, tmp_path / "certs")
    programs = tmp_path / "programs"
    programs.mkdir()
    put(programs / "ssh", '[ "$1" = root@host1 ] && exec sh -c "$2"')
    put(programs / "python", f'exec {sys.executable} "$@"')
    node = tmp_path / "node"
    ran = subprocess.run(
        ["sh", "-eu", "-c", commands().replace(NODE_TLS, str(node))],  # noqa: S607
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    now = datetime.now(UTC)
    brought = [node / name for name in ("ca.pem", "nodes/host1.pem", "nodes/host1.key")]
    assert str(load(*brought, node="host1", now=now).identity) == "spiffe://lab/node/host1"
    assert brought[2].stat().st_mode & 0o777 == 0o600
    out = tmp_path / "certs" / "out"
    for holder in (out, out / "next"):
        pair = [holder / "nodes" / name for name in ("host1.pem", "host1.key")]
        assert load(out / "both.pem", *pair, node="host1", now=now).identity.name == "host1"
