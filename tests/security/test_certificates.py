"""A daemon starts with good files only; a refusal names file, problem and remedy."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from bmigd.security.certificates import seconds_left
from bmigd.security.identity import Identity, Kind
from certs.authority import Validity, issue_node, make_ca
from tests import needs
from tests.security.files import Files, HomeMade


@pytest.fixture
def files(cluster: Path, tmp_path: Path) -> Files:
    return Files(cluster, tmp_path)


def test_good_files_are_loaded_as_they_are(files: Files) -> None:
    credentials = files.load()
    assert credentials.identity == Identity("lab", Kind.NODE, "host1")
    assert credentials.ca_pem == files.ca.read_bytes()
    assert credentials.certificate_pem == files.certificate.read_bytes()
    assert credentials.key_pem == files.key.read_bytes()
    assert credentials.not_before < datetime.now(UTC) < credentials.expires_at


def test_seconds_left_count_down_and_go_below_zero(files: Files) -> None:
    credentials = files.load()
    ends = credentials.expires_at
    assert seconds_left(credentials, ends - timedelta(minutes=1)) == 60
    assert seconds_left(credentials, ends + timedelta(seconds=5)) == -5


def test_the_key_is_not_in_the_text_of_the_credentials(files: Files) -> None:
    assert "PRIVATE" not in repr(files.load())


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_is_accepted(files: Files, mode: int) -> None:
    files.key.chmod(mode)
    files.load()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601, 0o700, 0o4600])
def test_a_key_that_others_may_have_read_is_refused(files: Files, mode: int) -> None:
    files.key.chmod(mode)
    error = files.refusal()
    assert (error.file, error.problem) == (files.key, f"has mode {mode:04o}")
    assert error.remedy.startswith(f"chmod 600 {files.key}")


def test_a_key_of_another_user_is_refused(files: Files) -> None:
    needs.root("give files away")
    os.chown(files.key, 12345, -1)
    error = files.refusal()
    assert error.file == files.key
    assert "belongs to user 12345" in error.problem


def test_a_key_of_root_or_of_this_user_is_accepted(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = files.key.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    files.load()


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_missing_file_is_named(files: Files, name: str) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    error = files.refusal()
    assert (error.file, error.problem) == (path, "cannot be read (No such file or directory)")


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_not_a_file_is_refused_without_waiting(
    files: Files, name: str, make: Callable[[Path], None]
) -> None:
    path: Path = getattr(files, name)
    path.unlink()
    make(path)
    error = files.refusal()
    assert (error.file, error.problem) == (path, "is not a regular file")


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_file_of_something_else_is_named(files: Files, name: str, content: bytes) -> None:
    path: Path = getattr(files, name)
    path.write_bytes(content)
    error = files.refusal()
    assert error.file == path
    assert error.problem.startswith("holds no ")


def test_an_encrypted_key_is_refused(files: Files) -> None:
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    encryption = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert files.refusal().problem == "is encrypted"


def test_a_key_of_another_certificate_is_refused(files: Files, cluster: Path) -> None:
    shutil.copy(cluster / "nodes" / "host2.key", files.key)
    error = files.refusal()
    assert (error.file, error.problem) == (files.key, f"is not the key of {files.certificate}")


def test_a_certificate_of_another_ca_is_refused(files: Files, stranger: Path) -> None:
    files.take(stranger / "nodes" / "host1")
    error = files.refusal()
    assert (error.file, error.problem) == (
        files.certificate,
        f"was not issued by the CA in {files.ca}",
    )


def test_a_leaf_is_not_taken_for_a_ca(files: Files) -> None:
    shutil.copy(files.certificate, files.ca)
    assert "was not issued by the CA" in files.refusal().problem


def test_while_one_ca_replaces_another_both_are_trusted(
    files: Files, cluster: Path, stranger: Path
) -> None:
    files.ca.write_bytes((cluster / "ca.pem").read_bytes() + (stranger / "ca.pem").read_bytes())
    files.load()
    files.take(stranger / "nodes" / "host1")
    files.load()


def test_an_expired_certificate_is_refused(files: Files, cluster: Path) -> None:
    files.take(cluster / "nodes" / "past")
    error = files.refusal("past")
    assert error.file == files.certificate
    assert error.problem.startswith("expired at 2")
    assert "renew" in error.remedy


def test_a_certificate_before_its_time_is_refused(files: Files, cluster: Path) -> None:
    files.take(cluster / "nodes" / "future")
    error = files.refusal("future")
    assert error.file == files.certificate
    assert error.problem.startswith("is not valid before 2")
    assert error.remedy == "set this host's clock"


def test_validity_ends_with_its_last_second(files: Files) -> None:
    ends = files.load().expires_at
    files.load(now=ends - timedelta(seconds=1))
    assert files.refusal(now=ends).problem.startswith("expired at")


def test_an_expired_ca_is_named_itself(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "old"
    day = timedelta(days=1)
    now = datetime.now(UTC)
    make_ca(out, "lab", Validity(now - 9 * day, now - day))
    issue_node(out, "host1", Validity(now - 9 * day, now + day))
    shutil.copy(out / "ca.pem", files.ca)
    files.take(out / "nodes" / "host1")
    assert files.refusal().file == files.ca


def test_a_certificate_of_another_node_is_refused(files: Files) -> None:
    error = files.refusal("host2")
    assert error.problem == "is of spiffe://lab/node/host1, and this node is host2"
    assert error.remedy == "issue a certificate for the node host2"


def test_an_operators_certificate_is_no_nodes(files: Files, cluster: Path) -> None:
    files.take(cluster / "operators" / "alice")
    error = files.refusal("alice")
    assert error.problem == "is of spiffe://lab/operator/alice, and this node is alice"


CLUSTER = x509.UniformResourceIdentifier("spiffe://lab")
HOST1 = [x509.UniformResourceIdentifier("spiffe://lab/node/host1"), x509.DNSName("host1")]


def test_a_ca_made_elsewhere_serves_as_well(files: Files) -> None:
    HomeMade(files, CLUSTER).issue(x509.SubjectAlternativeName(HOST1))
    assert str(files.load().identity) == "spiffe://lab/node/host1"


def test_what_a_leaf_signed_is_refused_even_when_the_leaf_is_trusted(files: Files) -> None:
    HomeMade(files, CLUSTER, is_ca=False).issue(x509.SubjectAlternativeName(HOST1))
    assert "was not issued by the CA" in files.refusal().problem


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "does not say which cluster"),
        ([x509.DNSName("lab")], "does not say which cluster"),
        ([x509.UniformResourceIdentifier("spiffe://lab/ca")], "is not spiffe://CLUSTER"),
    ],
)
def test_a_ca_of_no_cluster_is_refused(
    files: Files, names: list[x509.GeneralName], problem: str
) -> None:
    HomeMade(files, *names).issue(x509.SubjectAlternativeName(HOST1))
    error = files.refusal()
    assert error.file == files.ca
    assert problem in error.problem


@pytest.mark.parametrize(
    ("extensions", "problem"),
    [
        ([], "0 SPIFFE ids"),
        ([x509.SubjectAlternativeName(HOST1[1:])], "0 SPIFFE ids"),
        ([x509.SubjectAlternativeName(HOST1[:1])], "without the DNS name host1"),
        ([x509.SubjectAlternativeName([*HOST1, CLUSTER])], "2 SPIFFE ids"),
        (
            [x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05h")],
            "names that cannot be read",
        ),
        (
            [
                x509.SubjectAlternativeName(HOST1),
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            ],
            "not for both servers and clients",
        ),
    ],
)
def test_a_certificate_that_peers_would_refuse_is_refused_at_home(
    files: Files, extensions: list[x509.ExtensionType], problem: str
) -> None:
    HomeMade(files, CLUSTER).issue(*extensions)
    error = files.refusal()
    assert error.file == files.certificate
    assert problem in error.problem
