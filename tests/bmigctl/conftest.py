"""Two nodes with mutual TLS, and bmigctl as a process that talks to them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from bmig.v1 import guest_pb2

from tests.bmigctl.nodes import FakeNode, guest
from tests.bmigctl.pki import Authority


@dataclass(frozen=True)
class Ended:
    """How a run of bmigctl ended."""

    code: int
    out: str
    err: str


@dataclass
class Operator:
    """Somebody with a certificate and a configuration."""

    config: Path

    async def start(
        self, *arguments: str, stdout: IO[bytes] | int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """bmigctl, running."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bmigctl",
            "--config",
            str(self.config),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> Ended:
        """bmigctl, to its end."""
        process = await self.start(*arguments)
        return await finish(process)


async def finish(process: asyncio.subprocess.Process) -> Ended:
    """Waits for the end of a bmigctl that was started; it never shows a traceback."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    assert process.returncode is not None
    return Ended(process.returncode, (out or b"").decode(), err.decode())


def write_config(path: Path, authority: Authority, nodes: dict[str, str], name: str) -> Path:
    """A configuration with relative paths, as an operator would write it."""
    lines = [
        f'ca = "{authority.path.name}"',
        f'certificate = "{name}.pem"',
        f'key = "{name}.key"',
        "[nodes]",
        *(f'{node} = "{address}"' for node, address in nodes.items()),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The cluster's CA."""
    return Authority(tmp_path / "pki")


@pytest.fixture
async def host1(authority: Authority) -> AsyncIterator[FakeNode]:
    """The node that is configured."""
    node = FakeNode("host1", authority)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def host2(authority: Authority, host1: FakeNode) -> AsyncIterator[FakeNode]:
    """A node that only host1 knows."""
    node = FakeNode("host2", authority)
    await node.start()
    host1.known = {"host1": host1.address, "host2": node.address}
    yield node
    await node.stop()


@pytest.fixture
def vm1(host1: FakeNode, host2: FakeNode) -> guest_pb2.Guest:
    """A guest that runs on host1."""
    host1.guests["vm1"] = guest("vm1")
    return host1.guests["vm1"]


@pytest.fixture
def alice(tmp_path: Path, authority: Authority, host1: FakeNode) -> Operator:
    """An operator who has configured host1 alone."""
    authority.operator("alice")
    path = tmp_path / "pki" / "bmigctl.toml"
    return Operator(write_config(path, authority, {"host1": host1.address}, "alice"))
