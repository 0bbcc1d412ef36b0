"""Why a connection to a peer failed: gRPC says "unavailable" to all of it, a handshake knows.

Rule 1: this only explains. Nothing is decided by it and nothing of the product is sent.
Rule 2: whatever the far side does, it ends within the time limit with an explanation.
Rule 3: our key is never on a disk in the clear and never in a sentence.
"""

import asyncio
import os
import secrets
import socket
import ssl
import tempfile
import time
from enum import StrEnum
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bmigd.security.certificates import Credentials

# What a TLS 1.2 server answers to a certificate; a TLS 1.3 server answers when we are done.
_ABOUT_OUR_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")


class Reason(StrEnum):
    """Of an error that says that a peer could not be asked."""

    PEER_NOT_LISTENING = "PEER_NOT_LISTENING"
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    PEER_TIMEOUT = "PEER_TIMEOUT"
    PEER_CERTIFICATE_WRONG_NAME = "PEER_CERTIFICATE_WRONG_NAME"
    PEER_CERTIFICATE_OTHER_CA = "PEER_CERTIFICATE_OTHER_CA"
    PEER_CERTIFICATE_EXPIRED = "PEER_CERTIFICATE_EXPIRED"
    PEER_NOT_TLS = "PEER_NOT_TLS"
    PEER_REJECTS_CERTIFICATE = "PEER_REJECTS_CERTIFICATE"
    PEER_LOST = "PEER_LOST"  # nothing that is known here


class Explanation(NamedTuple):
    """Why, for programs and for people."""

    reason: Reason
    sentence: str


_ADVICE = {
    Reason.PEER_NOT_LISTENING: "start bmigd on {0}",
    Reason.PEER_UNREACHABLE: "mend the way to {0}, or correct its address in [nodes]",
    Reason.PEER_TIMEOUT: "see that {0} is up and that no firewall drops the port",
    Reason.PEER_CERTIFICATE_WRONG_NAME: "correct the address of {0} in [nodes], or give it the"
    " certificate of its name",
    Reason.PEER_CERTIFICATE_OTHER_CA: "give {0} a certificate of this cluster's CA and restart its"
    " bmigd",
    Reason.PEER_CERTIFICATE_EXPIRED: "renew the certificate of {0} and restart its bmigd; if it is"
    " valid, set the clocks right",
    Reason.PEER_NOT_TLS: "see what answers at the address of {0} in [nodes]: it is not its bmigd,"
    " or something on the way cuts connections off",
    Reason.PEER_REJECTS_CERTIFICATE: "renew this node's certificate and restart its bmigd, or give"
    " {0} the CA that issued it",
}


def advice(reason: str, peer: str) -> str:
    """What to do about a peer that could not be asked; "" where nothing better is known. Pure."""
    return _ADVICE[Reason(reason)].format(peer) if reason in _ADVICE else ""


_OF_OTHER_CA = Reason.PEER_CERTIFICATE_OTHER_CA, "is of a CA that this node does not know"
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_VERIFICATION = {
    7: _OF_OTHER_CA,  # signature: another CA that has the name of ours
    9: (Reason.PEER_CERTIFICATE_EXPIRED, "is not valid yet by this host's clock"),
    10: (Reason.PEER_CERTIFICATE_EXPIRED, "has expired by this host's clock"),
    18: _OF_OTHER_CA,  # signed by itself
    19: _OF_OTHER_CA,
    20: _OF_OTHER_CA,
    21: _OF_OTHER_CA,
    26: (Reason.PEER_CERTIFICATE_WRONG_NAME, "is not a node's"),  # not for servers
}


class _Target(NamedTuple):
    host: str
    port: int
    server_name: str
    deadline: float  # time.monotonic()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.server_name} at {host}:{self.port}"

    def seconds_left(self) -> float:
        # Never 0, which would mean "do not wait at all" and fail with another error.
        return max(self.deadline - time.monotonic(), 0.001)


async def explain(
    host: str, port: int, server_name: str, credentials: Credentials, *, limit_s: float = 3.0
) -> Explanation:
    """Connect and shake hands once more, by hand, and say what went wrong; raises nothing."""
    target = _Target(host, port, server_name, time.monotonic() + limit_s)
    try:
        # A name server that is silent holds its thread for longer, but never the caller.
        async with asyncio.timeout(limit_s + 0.5):
            return await asyncio.to_thread(_explain, target, credentials)
    except TimeoutError:
        return Explanation(Reason.PEER_TIMEOUT, f"{target} did not answer in {limit_s:g} s")


def _explain(target: _Target, credentials: Credentials) -> Explanation:
    try:
        context = _context(credentials)
    except (OSError, ValueError, TypeError) as error:
        return Explanation(
            Reason.PEER_LOST,
            f"{target} was not probed: this node's own certificate fails ({type(error).__name__})",
        )
    if not 0 < target.port < 1 << 16:  # the resolver would silently take the rest of a division
        return _not_connected(target, ValueError())
    try:
        connection = socket.create_connection(
            (target.host, target.port), timeout=target.seconds_left()
        )
    except (OSError, ValueError) as error:
        return _not_connected(target, error)
    with connection:
        try:
            connection.settimeout(target.seconds_left())
            secured = context.wrap_socket(connection, server_hostname=target.server_name)
        except (OSError, ValueError) as error:
            return _no_handshake(target, error, credentials)
        with secured:
            return _after_handshake(target, secured, credentials)


def _context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name is compared afterwards, so that a wrong one can be told.
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=credentials.ca_pem.decode("ascii"))
    # The library takes a key only from a file: this one is encrypted for the moment it exists.
    password = secrets.token_bytes(32).hex().encode("ascii")
    encrypted = load_pem_private_key(credentials.key_pem, password=None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(credentials.certificate_pem + b"\n" + encrypted)
        file.flush()
        context.load_cert_chain(file.name, password=password)
    return context


def _not_connected(target: _Target, error: Exception) -> Explanation:
    match error:
        case ConnectionRefusedError():
            return Explanation(
                Reason.PEER_NOT_LISTENING,
                f"{target} refused the connection: nothing listens on that port",
            )
        case TimeoutError():
            return Explanation(
                Reason.PEER_TIMEOUT, f"{target} did not accept the connection in time"
            )
        case socket.gaierror():
            sentence = f"{target} cannot be reached: the address is not known ({error.strerror})"
        case OSError(errno=int(number)):
            sentence = f"{target} cannot be reached: {os.strerror(number).lower()}"
        case _:
            sentence = f"{target} cannot be reached: that is not an address and port"
    return Explanation(Reason.PEER_UNREACHABLE, sentence)


def _no_handshake(target: _Target, error: Exception, credentials: Credentials) -> Explanation:
    match error:
        case ssl.SSLCertVerificationError():
            return _not_believed(target, error)
        case ssl.SSLEOFError() | ConnectionError():
            return _closed(target)
        case ssl.SSLError() if not getattr(error, "reason", None):
            return _closed(target)  # a close in the middle of a read has no reason in OpenSSL
        case ssl.SSLError(reason=str(reason)) if "ALERT" in reason:
            if any(word in reason for word in _ABOUT_OUR_CERTIFICATE):
                return _rejected(target, credentials, f"answered {_words(reason)}")
            return Explanation(
                Reason.PEER_LOST, f"{target} ended the TLS handshake: {_words(reason)}"
            )
        case ssl.SSLError():
            return Explanation(
                Reason.PEER_NOT_TLS,
                f"{target} answered in something that is not TLS ({_words(error.reason)})",
            )
        case TimeoutError():
            return Explanation(
                Reason.PEER_TIMEOUT, f"{target} accepted the connection, but not TLS in time"
            )
        case _:
            return Explanation(
                Reason.PEER_LOST, f"{target}: {type(error).__name__} in the handshake"
            )


def _closed(target: _Target) -> Explanation:
    return Explanation(
        Reason.PEER_NOT_TLS, f"{target} took the connection and closed it before any TLS"
    )


def _not_believed(target: _Target, error: ssl.SSLCertVerificationError) -> Explanation:
    reason, what = _VERIFICATION.get(
        error.verify_code, (Reason.PEER_LOST, f"cannot be believed: {error.verify_message}")
    )
    return Explanation(reason, f"{target} has a certificate that {what}")


def _after_handshake(
    target: _Target, secured: ssl.SSLSocket, credentials: Credentials
) -> Explanation:
    names = _dns_names(secured.getpeercert() or {})
    if target.server_name not in names:
        return Explanation(
            Reason.PEER_CERTIFICATE_WRONG_NAME,
            f"{target} has the certificate of {', '.join(names) or 'nobody in particular'}",
        )
    try:
        secured.settimeout(target.seconds_left())
        answered = secured.recv(1)
    except TimeoutError:
        return _unexplained(target, "but nothing after it")
    except ssl.SSLError as error:
        how = _words(error.reason)
        if "alert" not in how:
            return _unexplained(target, f"but then there is a {how}")
        return _rejected(target, credentials, f"answered {how}")
    except OSError:
        answered = b""
    if not answered:
        # gRPC servers send no alert: they just close. Accepted, they speak at once.
        return _rejected(target, credentials, "closed the connection when it saw it")
    return _unexplained(target, "and speaks")


def _rejected(target: _Target, credentials: Credentials, how: str) -> Explanation:
    ours = f"{credentials.identity}, valid until {credentials.expires_at:%Y-%m-%d %H:%M:%S %Z}"
    return Explanation(
        Reason.PEER_REJECTS_CERTIFICATE,
        f"{target} does not accept this node's certificate ({ours}): it {how}",
    )


def _unexplained(target: _Target, then: str) -> Explanation:
    return Explanation(
        Reason.PEER_LOST, f"{target} answers now, with the right certificate, {then}"
    )


def _dns_names(certificate: dict[str, Any]) -> list[str]:
    names = certificate.get("subjectAltName", ())
    return [ascii(value)[1:-1] for kind, value in names if kind == "DNS"]


def _words(reason: str | None) -> str:
    return (reason or "an unknown error").lower().replace("_", " ")
