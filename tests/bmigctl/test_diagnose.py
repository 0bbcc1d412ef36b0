"""The real cause of an unreachable node is found and named, certificate by certificate."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from bmigctl.config import Credentials
from bmigctl.diagnose import Cause, diagnose

from tests.bmigctl.nodes import FakeNode
from tests.bmigctl.pki import DAY, Authority, Holder

HOUR = timedelta(hours=1)


def credentials(authority: Authority, holder: Holder) -> Credentials:
    return Credentials(authority.path, holder.certificate, holder.key)


@pytest.fixture
def alice(authority: Authority) -> Credentials:
    return credentials(authority, authority.operator("alice"))


@asynccontextmanager
async def serving(node: FakeNode) -> AsyncIterator[FakeNode]:
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def cause_of(node: FakeNode, name: str, who: Credentials) -> Cause:
    async with serving(node):
        cause = await diagnose(name, node.address, who)
    assert cause is not None
    return cause


async def test_a_node_that_accepts_us_has_no_cause(host1: FakeNode, alice: Credentials) -> None:
    assert await diagnose("host1", host1.address, alice) is None


async def test_a_closed_port_is_refused(alice: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cause = await diagnose("host1", f"127.0.0.1:{port}", alice)
    assert cause is not None
    assert cause.reason == "CONNECTION_REFUSED"
    assert f"host1 at 127.0.0.1:{port}" in cause.message


async def test_an_unknown_host_name_is_told(alice: Credentials) -> None:
    cause = await diagnose("host1", "nowhere.invalid:7443", alice)
    assert cause is not None
    assert cause.reason == "ADDRESS_UNKNOWN"


async def test_the_certificate_of_another_node_is_named(
    authority: Authority, alice: Credentials
) -> None:
    cause = await cause_of(FakeNode("host2", authority), "host1", alice)
    assert cause.reason == "WRONG_NODE"
    assert "the certificate of host2, not of host1" in cause.message


async def test_an_expired_node_certificate_is_told(
    authority: Authority, alice: Credentials
) -> None:
    old = authority.node("host1", begins=-DAY, ends=-HOUR)
    cause = await cause_of(FakeNode("host1", authority, old), "host1", alice)
    assert cause.reason == "CERTIFICATE_EXPIRED"


async def test_a_node_certificate_of_tomorrow_points_to_the_clocks(
    authority: Authority, alice: Credentials
) -> None:
    new = authority.node("host1", begins=HOUR, ends=DAY)
    cause = await cause_of(FakeNode("host1", authority, new), "host1", alice)
    assert cause.reason == "CERTIFICATE_NOT_YET_VALID"
    assert "clocks" in cause.advice


async def test_a_node_of_another_cluster_is_told(
    tmp_path: Path, authority: Authority, alice: Credentials
) -> None:
    other = Authority(tmp_path / "other", "other CA")
    cause = await cause_of(FakeNode("host1", other), "host1", alice)
    assert cause.reason == "OTHER_CA"


async def test_our_certificate_of_another_ca_is_rejected(
    tmp_path: Path, authority: Authority, host1: FakeNode
) -> None:
    mallory = Authority(tmp_path / "other", "other CA").operator("mallory")
    cause = await diagnose("host1", host1.address, credentials(authority, mallory))
    assert cause is not None
    assert cause.reason == "OUR_CERTIFICATE_REJECTED"
    assert f"it is not of {authority.path}" in cause.message


async def test_our_expired_certificate_is_rejected(authority: Authority, host1: FakeNode) -> None:
    old = authority.operator("old", begins=-DAY, ends=-HOUR)
    cause = await diagnose("host1", host1.address, credentials(authority, old))
    assert cause is not None
    assert cause.reason in ("OUR_CERTIFICATE_REJECTED", "CONNECTION_CLOSED")


async def test_something_that_is_not_tls_is_told(alice: Credentials) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        cause = await diagnose("host1", f"127.0.0.1:{port}", alice)
    assert cause is not None
    assert cause.reason == "NOT_TLS"


async def test_a_listener_that_hangs_up_is_told(alice: Credentials) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        cause = await diagnose("host1", f"127.0.0.1:{port}", alice)
    assert cause is not None
    assert cause.reason in ("CONNECTION_CLOSED", "CONNECTION_FAILED")
