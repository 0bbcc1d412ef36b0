"""A cluster CA and certificates for tests, made anew for each run.

Shaped as the product's: ECDSA P-256, identity in a SPIFFE URI, nodes also by DNS name.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Holder:
    """Files of one certificate."""

    certificate: Path
    key: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A CA that keeps its files in a directory."""

    def __init__(self, directory: Path, name: str = "test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.path = directory / "ca.pem"
        certificate = (
            self._builder(self._name, self._key.public_key(), -DAY, DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def node(self, name: str, begins: timedelta = -DAY, ends: timedelta = DAY) -> Holder:
        """A node's certificate; times are counted from now."""
        names = [
            x509.DNSName(name),
            x509.UniformResourceIdentifier(f"spiffe://test/node/{name}"),
        ]
        return self._issue(name, names, begins, ends)

    def operator(self, name: str, begins: timedelta = -DAY, ends: timedelta = DAY) -> Holder:
        """An operator's certificate."""
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"spiffe://test/operator/{name}")
        ]
        return self._issue(name, names, begins, ends)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begins: timedelta,
        ends: timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )

    def _issue(
        self, name: str, names: list[x509.GeneralName], begins: timedelta, ends: timedelta
    ) -> Holder:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_name(name), key.public_key(), begins, ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        holder = Holder(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        holder.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        holder.key.touch(mode=0o600)
        holder.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return holder
