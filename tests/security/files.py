"""The files of a node, to be damaged, and a CA that may write anything into them."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from bmigd.security.certificates import CertificateError, Credentials, load

DAY = timedelta(days=1)


class Files:
    """The three files of host1, to be damaged; each is a copy."""

    def __init__(self, cluster: Path, directory: Path) -> None:
        self.ca = directory / "ca.pem"
        self.certificate = directory / "node.pem"
        self.key = directory / "node.key"
        shutil.copy(cluster / "ca.pem", self.ca)
        self.take(cluster / "nodes" / "host1")

    def take(self, holder: Path) -> None:
        shutil.copy(holder.with_name(holder.name + ".pem"), self.certificate)
        shutil.copy(holder.with_name(holder.name + ".key"), self.key)

    def load(self, node: str = "host1", now: datetime | None = None) -> Credentials:
        now = now or datetime.now(UTC)
        return load(self.ca, self.certificate, self.key, node=node, now=now)

    def refusal(self, node: str = "host1", now: datetime | None = None) -> CertificateError:
        with pytest.raises(CertificateError) as caught:
            self.load(node, now)
        error = caught.value
        assert str(error) == f"{error.file}: {error.problem}; {error.remedy}"
        assert "PRIVATE" not in str(error)
        return error


class HomeMade:
    """A CA made with other tools, which may write anything."""

    def __init__(self, files: Files, *names: x509.GeneralName, is_ca: bool = True) -> None:
        self.files = files
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "home-made")])
        basic = x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None)
        extensions = [basic, *([x509.SubjectAlternativeName(names)] if names else [])]
        certificate = self.sign(self.name, self.key, extensions)
        files.ca.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, *extensions: x509.ExtensionType) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(x509.Name([]), key, extensions)
        self.files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.files.key.write_bytes(private)

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Iterable[x509.ExtensionType],
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            self.name,
            subject,
            key.public_key(),
            7,
            datetime.now(UTC) - DAY,
            datetime.now(UTC) + DAY,
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())
