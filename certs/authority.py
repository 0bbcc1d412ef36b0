"""The cluster's certificate authority: a directory of files, no service, nothing to keep running.

Rule 1: a private key is created 0600; it never exists with wider rights, not even for a moment.
Rule 2: nothing is overwritten except by `renew`, and a CA never.
Rule 3: this folder imports nothing of the product, so it can be copied alone to the machine that
keeps the CA's key. What names may look like is therefore written here and in
`bmigd/security/identity.py`; a test holds the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Where this folder is copied alone there is no package.
if TYPE_CHECKING or __package__:
    from certs import placing
else:
    import placing

CA_DAYS = 3650
LEAF_DAYS = 397
CLOCK_SKEW = timedelta(minutes=5)

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A last label of digits alone makes it an IPv4 address to a TLS library, which then looks for no
# DNS name.
_DNS_NAME = re.compile(rf"(?=.{{1,63}}\Z)(?!(?:.*\.)?[0-9]+\Z){_LABEL}(?:\.{_LABEL})*")
_OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Refused(click.ClickException):
    """What was asked would destroy something or cannot be done; the message says what to do."""


class Kind(StrEnum):
    """Who a certificate is for, as its SPIFFE id says."""

    NODE = "node"
    OPERATOR = "operator"


_NAMES = {Kind.NODE: _DNS_NAME, Kind.OPERATOR: _OPERATOR_NAME}


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Validity:
    """From when to when a certificate counts."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def of_days(cls, days: int) -> Validity:
        """From five minutes ago, for nodes whose clocks are behind, until `days` from now."""
        now = datetime.now(UTC)
        return cls(now - CLOCK_SKEW, now + timedelta(days=days))


@dataclass(frozen=True)
class Authority:
    """A CA with its key, and the cluster that it is for."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cluster: str


def make_ca(out: Path, cluster: str, validity: Validity | None = None) -> Pair:
    """Make the cluster's CA in `out`; refuses when there is one, or a part of one."""
    _check_name(_DNS_NAME, cluster, "cluster")
    pair = Pair(out / "ca.pem", out / "ca.key")
    if taken := [path.name for path in pair if path.exists()]:
        raise Refused(
            f"{out}: holds {' and '.join(taken)} already, and a CA is never overwritten: its "
            "whole cluster would be lost with it; choose another --out, or move it away"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # A name of its own for each CA: while one replaces another, both are trusted at the same time.
    name = _subject(cluster, f"bmig CA {identifier.digest.hex()[:16]}")
    certificate = (
        _builder(name, key, validity or Validity.of_days(CA_DAYS))
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(_alternative_names(f"spiffe://{cluster}"), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(pair, certificate, key, replace=False)
    return pair


def issue_node(out: Path, name: str, validity: Validity | None = None) -> Pair:
    """A first certificate and key for a node, which is both server and client."""
    return _issue(out, Kind.NODE, name, validity, replace=False)


def issue_operator(out: Path, name: str, validity: Validity | None = None) -> Pair:
    """A first certificate and key for an operator, who is never a server."""
    return _issue(out, Kind.OPERATOR, name, validity, replace=False)


def renew(out: Path, name: str, kind: Kind | None = None, validity: Validity | None = None) -> Pair:
    """A new certificate and a new key for a known holder; nothing of the old pair is kept.

    Each file is replaced in one step. If the program dies between the two, they do not match, which
    the daemon refuses by name, and renewing again repairs it.
    """
    kinds = [each for each in Kind if kind in (None, each) and _is_known(out, each, name)]
    if not kinds:
        raise Refused(
            f"{name}: no {kind or 'node or operator'} of that name in {out}; `show` lists them"
        )
    if len(kinds) > 1:
        raise Refused(f"{name}: is both a node and an operator; say which with --kind")
    return _issue(out, kinds[0], name, validity, replace=True)


def pair_of(out: Path, kind: Kind, name: str) -> Pair:
    """Where the files of a holder are, whether or not they exist."""
    _check_name(_NAMES[kind], name, kind)
    folder = out / f"{kind}s"
    return Pair(folder / f"{name}.pem", folder / f"{name}.key")


def refuse_known(out: Path, kind: Kind, names: Sequence[str]) -> None:
    """Refuse names that have files already, all of them before one is issued."""
    for name in names:
        for path in pair_of(out, kind, name):
            if path.exists():
                raise Refused(f"{path}: is there already; `renew {name}` replaces it")


def identity_in(certificate: x509.Certificate) -> str:
    """The SPIFFE id that a certificate carries; ValueError if it carries none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (x509.ExtensionNotFound, IndexError) as error:
        raise ValueError("it names nobody") from error


def _issue(out: Path, kind: Kind, name: str, validity: Validity | None, *, replace: bool) -> Pair:
    pair = pair_of(out, kind, name)
    authority = _open_authority(out)
    if not replace:
        refuse_known(out, kind, [name])
    certificate, key = _sign(authority, kind, name, validity or Validity.of_days(LEAF_DAYS))
    _write_pair(pair, certificate, key, replace=replace)
    return pair


def _sign(
    authority: Authority, kind: Kind, name: str, validity: Validity
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca_ends = authority.certificate.not_valid_after_utc
    if ca_ends <= validity.not_before:
        raise Refused(
            f"the CA of {authority.cluster} expired on {ca_ends:%Y-%m-%d}; make a new one elsewhere"
        )
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    dns_names = []
    if kind is Kind.NODE:
        usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        dns_names.append(name)
    uri = f"spiffe://{authority.cluster}/{kind}/{name}"
    ca_identifier = authority.certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    )
    key = ec.generate_private_key(ec.SECP256R1())
    # A certificate cannot outlive its CA: it would only look valid for longer than it is.
    bounded = Validity(validity.not_before, min(validity.not_after, ca_ends))
    certificate = (
        _builder(_subject(authority.cluster, name), key, bounded)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_alternative_names(uri, *dns_names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier.value),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return certificate, key


def _open_authority(out: Path) -> Authority:
    for path, remedy in (
        (out / "ca.pem", "make a CA first: `ca --cluster NAME`"),
        (out / "ca.key", "only the machine that keeps the CA's key can issue"),
    ):
        if not path.exists():
            raise Refused(f"{path}: is not there; {remedy}")
    remedy = "restore ca.pem and ca.key from one backup"
    try:
        certificate = x509.load_pem_x509_certificate((out / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((out / "ca.key").read_bytes(), password=None)
        cluster = identity_in(certificate).removeprefix("spiffe://")
    except (ValueError, TypeError) as error:
        words = "ca.pem or ca.key is damaged, encrypted, or not made by this program"
        raise Refused(f"{out}: the CA cannot be read: {words}; {remedy}") from error
    public = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public:
        raise Refused(f"{out}: ca.key is not the key of ca.pem; {remedy}")
    return Authority(certificate, key, cluster)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, validity: Validity
) -> x509.CertificateBuilder:
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(cluster: str, name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, cluster), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(*part) for part in parts])


def _alternative_names(uri: str, *dns_names: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(uri), *(x509.DNSName(name) for name in dns_names)]
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(unused, False),
    )


def _is_known(out: Path, kind: Kind, name: str) -> bool:
    return bool(_NAMES[kind].fullmatch(name)) and pair_of(out, kind, name).certificate.exists()


def _check_name(pattern: re.Pattern[str], name: str, what: str) -> None:
    if pattern.fullmatch(name):
        return
    allowed = "a lower-case DNS name of at most 63 characters that is no IP address"
    if pattern is _OPERATOR_NAME:
        allowed = "at most 64 letters, digits, '.', '_' and '-', the first a letter or digit"
    raise Refused(f"{name!r}: is no {what}'s name; it must be {allowed}")


def _write_pair(
    pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, *, replace: bool
) -> None:
    # The certificate first: `renew` knows a holder by it, and so can repair what is cut off here.
    pair.certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = certificate.public_bytes(serialization.Encoding.PEM)
    _put(pair.certificate, public, 0o644, replace=replace)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _put(pair.key, plain, 0o600, replace=replace)


def _put(path: Path, content: bytes, mode: int, *, replace: bool) -> None:
    try:
        placing.put(path, content, mode, replace=replace)
    except FileExistsError as error:
        raise Refused(f"{path}: is there already") from error
