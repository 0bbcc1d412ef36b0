"""This node's own certificate: read once at the start, refused with a reason or known to be good.

Rule 1: a key that others could read is refused, whatever it is for.
Rule 2: a refusal names the file, what is wrong with it and what to do; never what is in a key.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from bmigd.security.identity import Identity, IdentityError, Kind, identity_of, parse_cluster_id

_KEY_MODES = (0o600, 0o400)
_LARGEST_FILE_BYTES = 1 << 20
_TIME = "%Y-%m-%d %H:%M:%S %Z"


class CertificateError(ValueError):
    """A file that this node cannot start with."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Credentials:
    """What this node proves itself with, and whom it believes."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    identity: Identity
    not_before: datetime
    expires_at: datetime


def load(ca: Path, certificate: Path, key: Path, *, node: str, now: datetime) -> Credentials:
    """Read the three files and check all that peers will check; `now` is an aware time.

    The CA's file may hold several CAs of one cluster, while one replaces another.
    """
    key_pem = _read(key, is_key=True)
    ca_pem, certificate_pem = _read(ca), _read(certificate)
    own = _parse(certificate, certificate_pem)[0]
    _check_key(key, key_pem, certificate, own)
    issuer = _issuer(ca, _parse(ca, ca_pem), certificate, own)
    _check_time(ca, issuer, now)
    _check_time(certificate, own, now)
    identity = _check_identity(certificate, own, _cluster(ca, issuer), node)
    expires_at = min(own.not_valid_after_utc, issuer.not_valid_after_utc)
    return Credentials(
        ca_pem, certificate_pem, key_pem, identity, own.not_valid_before_utc, expires_at
    )


def seconds_left(credentials: Credentials, now: datetime) -> float:
    """Seconds until peers stop believing this certificate; negative when they have."""
    return (credentials.expires_at - now).total_seconds()


def _read(path: Path, *, is_key: bool = False) -> bytes:
    descriptor = _open(path)
    try:
        # Judged by the descriptor that is read, so the file cannot be exchanged in between.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CertificateError(path, "is not a regular file", "give the path of a PEM file")
        if is_key:
            _check_private(path, status)
        return os.read(descriptor, _LARGEST_FILE_BYTES)
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode not in _KEY_MODES:
        remedy = f"chmod 600 {path}, and renew it if others could read it"
        raise CertificateError(path, f"has mode {mode:04o}", remedy)
    if status.st_uid not in (os.geteuid(), 0):
        problem = f"belongs to user {status.st_uid}, not to user {os.geteuid()} or root"
        raise CertificateError(path, problem, f"chown {os.geteuid()} {path}")


def _open(path: Path) -> int:
    try:
        # Without waiting, should the path be a pipe that nobody writes to.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise CertificateError(
            path, problem, "bring the node its files, as certs/README.md says"
        ) from error


def _parse(path: Path, pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(
            path, "holds no certificate in PEM", "copy the .pem file again"
        ) from error


def _check_key(path: Path, key_pem: bytes, certificate: Path, own: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise CertificateError(
            path, "is encrypted", "a daemon has nobody to ask; store it unencrypted"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            path, "holds no private key in PEM", "copy the .key file again"
        ) from error
    if key.public_key() != own.public_key():
        raise CertificateError(
            path, f"is not the key of {certificate}", "copy both files of one renewal"
        )


def _issuer(
    ca: Path, authorities: Sequence[x509.Certificate], certificate: Path, own: x509.Certificate
) -> x509.Certificate:
    for authority in authorities:
        try:
            own.verify_directly_issued_by(authority)
            constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        if constraints.value.ca:
            return authority
    raise CertificateError(
        certificate, f"was not issued by the CA in {ca}", "take both from one cluster's CA"
    )


def _check_time(path: Path, checked: x509.Certificate, now: datetime) -> None:
    starts, ends = checked.not_valid_before_utc, checked.not_valid_after_utc
    if now < starts:
        problem = f"is not valid before {starts:{_TIME}}, and it is {now:{_TIME}} here"
        raise CertificateError(path, problem, "set this host's clock")
    if now >= ends:
        problem = f"expired at {ends:{_TIME}}"
        raise CertificateError(path, problem, "renew it, as certs/README.md says")


def _cluster(path: Path, authority: x509.Certificate) -> str:
    for name in _alternative_names(path, authority):
        if name.startswith("spiffe:"):
            try:
                return parse_cluster_id(name)
            except IdentityError as error:
                raise CertificateError(
                    path, error.reason, "use the ca.pem of the cluster"
                ) from error
    raise CertificateError(
        path, "does not say which cluster it is the CA of", "use the ca.pem of the cluster"
    )


def _check_identity(path: Path, own: x509.Certificate, cluster: str, node: str) -> Identity:
    remedy = f"issue a certificate for the node {node}"
    try:
        identity = identity_of(_alternative_names(path, own), cluster)
    except IdentityError as error:
        raise CertificateError(path, error.reason, remedy) from error
    if identity.kind is not Kind.NODE or identity.name != node:
        raise CertificateError(path, f"is of {identity}, and this node is {node}", remedy)
    try:
        usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return identity
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(usages):
        raise CertificateError(path, "is not for both servers and clients, as a node is", remedy)
    return identity


def _alternative_names(path: Path, certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except ValueError as error:
        raise CertificateError(
            path, "has names that cannot be read", "use certificates of the cluster's CA"
        ) from error
    return names.get_values_for_type(x509.UniformResourceIdentifier) + names.get_values_for_type(
        x509.DNSName
    )
