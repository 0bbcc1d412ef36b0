"""Each way in which a connection can fail is told apart, against real sockets and real TLS."""

import errno
import os
import socket
import ssl
import struct
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bmigd.security.certificates import Credentials, load
from bmigd.security.identity import Identity, Kind
from bmigd.security.probe import Reason, explain
from tests.security.peers import grpc_server, one_read, tls, told, until_gone


@pytest.fixture
def ours(cluster: Path) -> Credentials:
    pair = cluster / "nodes" / "host1.pem", cluster / "nodes" / "host1.key"
    return load(cluster / "ca.pem", *pair, node="host1", now=datetime.now(UTC))


async def test_a_port_where_nothing_listens(ours: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reason, sentence = await explain("127.0.0.1", port, "host2", ours)
    assert reason is Reason.PEER_NOT_LISTENING
    assert (
        sentence
        == f"host2 at 127.0.0.1:{port} refused the connection: nothing listens on that port"
    )


@pytest.mark.parametrize(
    ("host", "port"), [("255.255.255.255", 7117), ("127.0.0.1", 70_000), ("a" * 64 + ".b", 1)]
)
async def test_an_address_without_a_way_to_it(ours: Credentials, host: str, port: int) -> None:
    reason, sentence = await explain(host, port, "host2", ours)
    assert reason is Reason.PEER_UNREACHABLE
    assert sentence.startswith(f"host2 at {host}:{port} cannot be reached: ")


async def test_a_peer_that_accepts_and_is_silent(ours: Credentials) -> None:
    started = time.monotonic()
    reason, sentence = await told(until_gone, ours, limit_s=0.1)
    assert reason is Reason.PEER_TIMEOUT
    assert sentence.endswith("accepted the connection, but not TLS in time")
    assert time.monotonic() - started < 2


async def test_a_peer_with_the_certificate_of_another_node(
    ours: Credentials, cluster: Path
) -> None:
    reason, sentence = await told(tls(cluster, "host1"), ours)
    assert reason is Reason.PEER_CERTIFICATE_WRONG_NAME
    assert sentence.endswith("has the certificate of host1")


async def test_a_peer_with_the_certificate_of_an_operator(ours: Credentials, cluster: Path) -> None:
    reason, sentence = await told(tls(cluster, "alice", kind="operators"), ours, "alice")
    assert reason is Reason.PEER_CERTIFICATE_WRONG_NAME
    assert sentence.endswith("has a certificate that is not a node's")


async def test_a_peer_of_another_ca(ours: Credentials, stranger: Path) -> None:
    reason, _ = await told(tls(stranger), ours)
    assert reason is Reason.PEER_CERTIFICATE_OTHER_CA


@pytest.mark.parametrize(
    ("name", "state"), [("past", "has expired"), ("future", "is not valid yet")]
)
async def test_a_peer_whose_certificate_has_not_its_time(
    ours: Credentials, cluster: Path, name: str, state: str
) -> None:
    reason, sentence = await told(tls(cluster, name), ours, name)
    assert reason is Reason.PEER_CERTIFICATE_EXPIRED
    assert state in sentence


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.7\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_a_peer_that_answers_in_plain_text(ours: Credentials, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    reason, sentence = await told(serve, ours)
    assert reason is Reason.PEER_NOT_TLS
    assert "is not TLS" in sentence


async def test_a_peer_that_closes_instead_of_shaking_hands(ours: Credentials) -> None:
    reason, sentence = await told(one_read, ours)
    assert reason is Reason.PEER_NOT_TLS
    assert sentence.endswith("took the connection and closed it before any TLS")


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_peer_that_rejects_our_certificate(
    ours: Credentials, cluster: Path, stranger: Path, newest: ssl.TLSVersion
) -> None:
    reason, sentence = await told(tls(cluster, believes=stranger, newest=newest), ours)
    assert reason is Reason.PEER_REJECTS_CERTIFICATE
    assert "this node's certificate (spiffe://lab/node/host1, valid until " in sentence
    assert sentence.endswith("alert unknown ca")


async def test_a_peer_that_finds_our_certificate_expired(ours: Credentials, cluster: Path) -> None:
    expired = replace(
        ours,
        certificate_pem=(cluster / "nodes" / "past.pem").read_bytes(),
        key_pem=(cluster / "nodes" / "past.key").read_bytes(),
        identity=Identity("lab", Kind.NODE, "past"),
    )
    reason, sentence = await told(tls(cluster), expired)
    assert reason is Reason.PEER_REJECTS_CERTIFICATE
    assert sentence.endswith("certificate expired")


async def test_a_grpc_server_that_rejects_our_certificate_just_closes(
    ours: Credentials, cluster: Path, stranger: Path
) -> None:
    with grpc_server(cluster, believes=stranger) as port:
        reason, sentence = await explain("127.0.0.1", port, "host2", ours)
    assert reason is Reason.PEER_REJECTS_CERTIFICATE
    assert sentence.endswith("it closed the connection when it saw it")


async def test_a_grpc_server_that_is_well_again(ours: Credentials, cluster: Path) -> None:
    with grpc_server(cluster, believes=cluster) as port:
        reason, sentence = await explain("127.0.0.1", port, "host2", ours)
    assert reason is Reason.PEER_LOST
    assert sentence.endswith("answers now, with the right certificate, and speaks")


async def test_a_peer_that_says_nothing_after_the_handshake(
    ours: Credentials, cluster: Path
) -> None:
    reason, sentence = await told(tls(cluster, greeting=b""), ours, limit_s=0.2)
    assert reason is Reason.PEER_LOST
    assert sentence.endswith("but nothing after it")


async def test_a_handshake_that_ends_for_another_reason(ours: Credentials) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")  # a fatal alert: protocol version
        until_gone(connection)

    reason, sentence = await told(serve, ours)
    assert reason is Reason.PEER_LOST
    assert "alert protocol version" in sentence


async def test_credentials_that_cannot_be_used_are_not_blamed_on_the_peer(
    ours: Credentials,
) -> None:
    reason, sentence = await explain("127.0.0.1", 1, "host2", replace(ours, key_pem=b"secret"))
    assert reason is Reason.PEER_LOST
    assert "this node's own certificate fails" in sentence
    assert "secret" not in sentence


async def test_the_key_is_on_a_disk_only_encrypted_and_then_gone(
    ours: Credentials, cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, bytes]] = []
    read = ssl.SSLContext.load_cert_chain

    def watch(context: ssl.SSLContext, path: str, password: bytes) -> None:
        written.append((os.stat(path).st_mode & 0o777, Path(path).read_bytes()))  # noqa: PTH116
        read(context, path, password=password)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    serve = tls(cluster)
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "load_cert_chain", watch)
        reason, _ = await told(serve, ours)
    assert reason is Reason.PEER_LOST
    [(mode, content)] = written
    assert mode == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert b"BEGIN PRIVATE KEY" not in content
    assert not any(tmp_path.iterdir())


async def test_a_peer_that_resets_the_connection_when_it_sees_our_certificate(
    ours: Credentials, cluster: Path
) -> None:
    def reset(connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        pair = cluster / "nodes" / "host2.pem", cluster / "nodes" / "host2.key"
        context.load_cert_chain(*pair)
        secured = context.wrap_socket(connection, server_side=True)
        secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        secured.close()

    reason, sentence = await told(reset, ours)
    assert reason is Reason.PEER_REJECTS_CERTIFICATE
    assert sentence.endswith("it closed the connection when it saw it")


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (TimeoutError(), Reason.PEER_TIMEOUT, "did not accept the connection in time"),
        (
            socket.gaierror(-2, "Name not known"),
            Reason.PEER_UNREACHABLE,
            "cannot be reached: the address is not known (Name not known)",
        ),
        (
            OSError(errno.EHOSTUNREACH, ""),
            Reason.PEER_UNREACHABLE,
            "cannot be reached: no route to host",
        ),
    ],
)
async def test_what_the_network_itself_says(
    ours: Credentials, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: Reason, says: str
) -> None:
    def fail(address: tuple[str, int], timeout: float) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    explanation = await explain("host2.example", 7117, "host2", ours)
    assert explanation == (reason, f"host2 at host2.example:7117 {says}")


@pytest.mark.slow
async def test_a_name_server_that_hangs_does_not_hold_the_caller(
    ours: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def hang(address: tuple[str, int], timeout: float) -> socket.socket:
        answered.wait(10)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    reason, sentence = await explain("fe80::1", 7117, "host2", ours, limit_s=0.01)
    answered.set()
    assert reason is Reason.PEER_TIMEOUT
    assert sentence == "host2 at [fe80::1]:7117 did not answer in 0.01 s"


async def test_a_peer_that_speaks_nonsense_after_the_handshake(
    ours: Credentials, cluster: Path
) -> None:
    def serve(connection: socket.socket) -> None:
        raw = connection.dup()
        with raw:
            tls(cluster, greeting=b"", after=lambda: raw.sendall(b"nonsense" * 9))(connection)

    reason, sentence = await told(serve, ours)
    assert reason is Reason.PEER_LOST
    assert "with the right certificate, but then there is a " in sentence
