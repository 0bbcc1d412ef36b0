"""A program in another language, which knows proto/ alone, drives real daemons."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import needs
from tests.cluster import cluster

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
PROTOS = HERE.parents[1] / "proto"
STEPS = 15


@pytest.fixture(name="node_js", scope="module")
def find_node_js() -> str:
    """The interpreter; without it or its packages CI fails, and others skip."""
    found = shutil.which("node")
    missing = []
    if not found:
        missing.append("node is not installed")
    if not (HERE / "node_modules/@grpc/grpc-js").is_dir():
        missing.append("tests/interop/node_modules is missing: run npm ci in tests/interop")
    if not found or missing:
        needs.missing("; ".join(missing))
    return found


def test_another_language_migrates_cancels_and_reads_errors(node_js: str) -> None:
    with cluster(["host1", "host2"]) as world:
        world.make_guest("vm1", "host1")
        nodes = {
            side: {"name": name, "address": f"127.0.0.1:{world.nodes[name].port}"}
            for side, name in (("source", "host1"), ("destination", "host2"))
        }
        told = {
            "protos": str(PROTOS),
            "ca": str(world.certs / "ca.pem"),
            "certificate": str(world.certs / "operators/alice.pem"),
            "key": str(world.certs / "operators/alice.key"),
            "guest": "vm1",
            **nodes,
        }
        done = subprocess.run(
            [node_js, "interop.js", json.dumps(told)],
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        print(done.stdout)  # noqa: T201 - shown when the test fails
        logs = "\n".join(f"--- {node.name}\n{node.log[-4000:]}" for node in world.nodes.values())
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
        assert done.stderr == ""
        assert sum(line.startswith("ok: ") for line in done.stdout.splitlines()) == STEPS
        assert world.where("vm1") == {"host2": "GUEST_STATE_RUNNING"}
        world.beats_on("vm1")
