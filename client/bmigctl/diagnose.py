"""Why a node cannot be reached, in words that an operator can act on.

gRPC says UNAVAILABLE for everything from a pulled cable to an expired certificate. A plain
TLS handshake tells them apart. Under TLS 1.3 a server judges our certificate only after the
handshake looks finished here, so one byte is read afterwards: a refusal arrives in its place.

Rule: the probe never lowers the demands on a node's certificate for anything but reading the
name in it, and it sends nothing.
"""

import asyncio
import errno
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from bmigctl import identity
from bmigctl.config import Credentials, split_address

CONNECT_TIMEOUT_S = 3.0
ALERT_TIMEOUT_S = 1.0

# OpenSSL's X509_V_ERR_* numbers.
_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH = 9, 10, 62


@dataclass(frozen=True)
class Cause:
    """Why a node cannot be reached; reason is stable, for programs."""

    reason: str
    message: str
    advice: str


async def diagnose(node: str, address: str, credentials: Credentials) -> Cause | None:
    """The cause, or None when the handshake works and our certificate is accepted."""
    return await asyncio.to_thread(_diagnose, node, address, credentials)


def _diagnose(node: str, address: str, credentials: Credentials) -> Cause | None:
    context = _context(credentials)
    try:
        with (
            socket.create_connection(split_address(address), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=node) as secured,
        ):
            return _read_verdict(secured, node, address, credentials)
    except ssl.SSLCertVerificationError as error:
        return _of_node_certificate(error, node, address, credentials)
    except ssl.SSLError as error:
        return _of_tls(error, node, address, credentials)
    except OSError as error:
        return _of_network(error, node, address)


def _context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(credentials.ca))
    context.load_cert_chain(credentials.certificate, credentials.key)
    context.set_alpn_protocols(["h2"])
    return context


def _read_verdict(
    secured: ssl.SSLSocket, node: str, address: str, credentials: Credentials
) -> Cause | None:
    secured.settimeout(ALERT_TIMEOUT_S)
    try:
        if secured.recv(1):
            return None
    except TimeoutError:
        return None  # open and silent: nobody refused us
    except ConnectionError:
        pass
    # Many servers hang up without an alert; whether it was for our issuer can be seen here.
    if not identity.is_of_ca(credentials):
        return Cause(
            "OUR_CERTIFICATE_REJECTED",
            f"{node} at {address} does not accept our certificate: it is not of {credentials.ca}",
            f"have the CA of {node}'s cluster issue {credentials.certificate} anew",
        )
    return Cause(
        "CONNECTION_CLOSED",
        f"{node} at {address} closed the connection when it had seen our certificate",
        f"see the log of bmigd on {node}, and compare the clocks",
    )


def _of_network(error: OSError, node: str, address: str) -> Cause:
    if isinstance(error, ConnectionRefusedError):
        return Cause(
            "CONNECTION_REFUSED",
            f"{node} at {address}: connection refused, nothing listens there",
            f"start bmigd on {node}, or correct its address",
        )
    if isinstance(error, socket.gaierror):
        return Cause(
            "ADDRESS_UNKNOWN",
            f"{node} at {address}: the host name is unknown ({error.strerror})",
            f"correct the address of {node} in the configuration",
        )
    if isinstance(error, TimeoutError):
        return Cause(
            "CONNECT_TIMEOUT",
            f"{node} at {address}: no answer within {CONNECT_TIMEOUT_S:.0f} s",
            f"check that {node} is up and that no firewall drops the port",
        )
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
        return Cause(
            "NO_ROUTE",
            f"{node} at {address}: no route ({error.strerror})",
            f"check the network between here and {node}",
        )
    return Cause(
        "CONNECTION_FAILED",
        f"{node} at {address}: {error.strerror or error}",
        f"check that bmigd runs on {node}",
    )


def _of_node_certificate(
    error: ssl.SSLCertVerificationError, node: str, address: str, credentials: Credentials
) -> Cause:
    match error.verify_code:
        case _ if error.verify_code == _EXPIRED:
            return Cause(
                "CERTIFICATE_EXPIRED",
                f"the certificate of {node} at {address} has expired",
                f"issue a new certificate for {node}",
            )
        case _ if error.verify_code == _NOT_YET_VALID:
            return Cause(
                "CERTIFICATE_NOT_YET_VALID",
                f"the certificate of {node} at {address} is not valid yet",
                "compare the clocks of this computer and of the node",
            )
        case _ if error.verify_code == _HOSTNAME_MISMATCH:
            other = _name_there(address, credentials)
            return Cause(
                "WRONG_NODE",
                f"{address} shows the certificate of {other}, not of {node}",
                f"correct the address of {node} in the configuration",
            )
    return Cause(
        "OTHER_CA",
        f"the certificate of {node} at {address} is not of our CA ({error.verify_message})",
        f"check that {credentials.ca} is the CA of the cluster that {node} is in",
    )


def _name_there(address: str, credentials: Credentials) -> str:
    context = _context(credentials)
    context.check_hostname = False  # to read whose it is; the connection is not used
    try:
        with (
            socket.create_connection(split_address(address), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except OSError:
        return "another node"
    pairs: Any = certificate.get("subjectAltName", ())
    names = [str(value) for kind, value in pairs if kind == "DNS"]
    others = [str(value) for kind, value in pairs if kind == "URI"]
    return ", ".join(names or others) or "another node"


def _of_tls(error: ssl.SSLError, node: str, address: str, credentials: Credentials) -> Cause:
    reason = error.reason or ""
    if "ALERT" in reason and re.search(r"CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT", reason):
        alert = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        return Cause(
            "OUR_CERTIFICATE_REJECTED",
            f"{node} at {address} does not accept our certificate ({alert})",
            f"have the CA of {node}'s cluster issue {credentials.certificate} anew",
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Cause(
            "CONNECTION_CLOSED",
            f"{node} at {address} closed the connection during the TLS handshake",
            f"check that bmigd runs there; see {node}'s log",
        )
    return Cause(
        "NOT_TLS",
        f"what listens at {address} does not speak TLS as bmigd does ({reason or error})",
        f"correct the address of {node} in the configuration",
    )
