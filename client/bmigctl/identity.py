"""The operator's own certificate, checked before anybody is dialled.

An expired certificate of our own looks like a dead node from the outside, so it is found here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bmigctl.config import Credentials
from bmigctl.errors import UsageFault


@dataclass(frozen=True)
class Identity:
    """The PEM texts that a channel is made of."""

    ca: bytes
    certificate: bytes
    key: bytes


def load(credentials: Credentials, now: datetime | None = None) -> Identity:
    """Reads the three files; UsageFault when they cannot serve (date, shape, other key)."""
    identity = Identity(*(_read(path) for path in _paths(credentials)))
    certificate = _certificate(credentials.certificate, identity.certificate)
    _certificate(credentials.ca, identity.ca)
    _check_dates(credentials.certificate, certificate, now or datetime.now(UTC))
    try:
        key = load_pem_private_key(identity.key, None)
    except (ValueError, TypeError) as error:
        raise UsageFault("KEY_INVALID", f"{credentials.key}: no usable key: {error}") from error
    if key.public_key() != certificate.public_key():
        raise UsageFault(
            "KEY_MISMATCH",
            f"{credentials.key} is not the key of {credentials.certificate}",
            advice="name the key that was made together with the certificate",
        )
    return identity


def is_of_ca(credentials: Credentials) -> bool:
    """Whether our certificate was issued by one of our CA's certificates."""
    certificate = _certificate(credentials.certificate, _read(credentials.certificate))
    for issuer in x509.load_pem_x509_certificates(_read(credentials.ca)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _paths(credentials: Credentials) -> tuple[Path, Path, Path]:
    return credentials.ca, credentials.certificate, credentials.key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageFault("FILE_UNREADABLE", f"{path}: {error.strerror}") from error


def _certificate(path: Path, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise UsageFault("CERTIFICATE_INVALID", f"{path}: no certificate in it") from error


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        raise UsageFault(
            "OUR_CERTIFICATE_EXPIRED",
            f"our own certificate {path} ended on {ends:%Y-%m-%d %H:%M} UTC",
            advice="have the cluster's CA issue a new one",
        )
    if now < begins:
        raise UsageFault(
            "OUR_CERTIFICATE_NOT_YET_VALID",
            f"our own certificate {path} begins on {begins:%Y-%m-%d %H:%M} UTC",
            advice="check this computer's clock",
        )
