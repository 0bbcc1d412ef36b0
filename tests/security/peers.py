"""Peers of every kind on loopback, for one caller each."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from bmigd.security.certificates import Credentials
from bmigd.security.probe import Explanation, Reason, explain

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A port of ours where one caller is served."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(timeout=10)
            assert not thread.is_alive()


def tls(
    out: Path,
    name: str = "host2",
    *,
    kind: str = "nodes",
    believes: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    greeting: bytes = b"x",
    after: Callable[[], None] = lambda: None,
) -> Serve:
    """Serve mutual TLS: greet whoever is believed, and wait until it has gone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(out / kind / f"{name}.pem", out / kind / f"{name}.key")
    context.load_verify_locations((believes or out) / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])

    def serve(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                assert secured.selected_alpn_protocol() == "h2"
                secured.sendall(greeting)
                after()
                secured.recv(1)
        except OSError:
            pass  # the probe's side of it is what is asserted

    return serve


def one_read(connection: socket.socket) -> None:
    connection.recv(4096)


def until_gone(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@contextmanager
def grpc_server(cluster: Path, believes: Path) -> Iterator[int]:
    """A real gRPC server of host2 that trusts the CA of `believes`."""
    pair = [(cluster / "nodes" / f"host2.{part}").read_bytes() for part in ("key", "pem")]
    trusted = (believes / "ca.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(pair[0], pair[1])], trusted, True)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


async def told(
    serve: Serve, ours: Credentials, name: str = "host2", limit_s: float = 3
) -> Explanation:
    with listening(serve) as port:
        reason, sentence = explanation = await explain(
            "127.0.0.1", port, name, ours, limit_s=limit_s
        )
    assert sentence.startswith(f"{name} at 127.0.0.1:{port} ")
    assert "PRIVATE" not in sentence
    assert isinstance(reason, Reason)
    return explanation
