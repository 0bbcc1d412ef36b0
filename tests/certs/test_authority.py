"""Certificates say what they must, keys are born private, and nothing is overwritten unasked."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given
from hypothesis import strategies as st

from bmigd.security.identity import Identity, IdentityError, Kind, parse_cluster_id, parse_spiffe_id
from certs import authority
from certs.authority import Pair, Refused, Validity, issue_node, issue_operator, make_ca, renew

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    make_ca(directory, "lab")
    return directory


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def sans(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_ca_can_sign_leaves_only_and_names_its_cluster(out: Path) -> None:
    ca = read(out / "ca.pem")
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.digital_signature
    assert sans(ca) == ["spiffe://lab"]


def test_a_node_is_server_and_client_under_its_own_name(out: Path) -> None:
    certificate = read(issue_node(out, "host1").certificate)
    assert sans(certificate) == ["spiffe://lab/node/host1", "host1"]
    assert usages(certificate) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]


def test_an_operator_is_a_client_without_a_dns_name(out: Path) -> None:
    certificate = read(issue_operator(out, "Alice.B_c").certificate)
    assert sans(certificate) == ["spiffe://lab/operator/Alice.B_c"]
    assert usages(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_leaf_is_signed_by_the_ca_and_can_sign_nothing(out: Path) -> None:
    ca, leaf = read(out / "ca.pem"), read(issue_node(out, "host1").certificate)
    leaf.verify_directly_issued_by(ca)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert aki.key_identifier == ski.digest


def test_keys_are_p256_and_match_their_certificates(out: Path) -> None:
    pair = issue_node(out, "host1")
    key = load_pem_private_key(pair.key.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == read(pair.certificate).public_key()


def test_two_cas_of_one_cluster_have_different_names(tmp_path: Path) -> None:
    first, second = (make_ca(tmp_path / name, "lab").certificate for name in "ab")
    assert read(first).subject != read(second).subject


def test_validity_starts_five_minutes_ago() -> None:
    validity = Validity.of_days(10)
    assert validity.not_after - validity.not_before == 10 * DAY + timedelta(minutes=5)


def test_a_certificate_never_outlives_its_ca(tmp_path: Path) -> None:
    make_ca(tmp_path, "lab", Validity(NOW - DAY, NOW + 3 * DAY))
    pair = issue_node(tmp_path, "host1", Validity(NOW, NOW + 100 * DAY))
    assert read(pair.certificate).not_valid_after_utc == NOW + 3 * DAY


def test_an_expired_ca_issues_nothing(tmp_path: Path) -> None:
    make_ca(tmp_path, "lab", Validity(NOW - 9 * DAY, NOW - DAY))
    with pytest.raises(Refused, match="the CA of lab expired on"):
        issue_node(tmp_path, "host1")
    assert not (tmp_path / "nodes").exists()


def test_keys_are_private_and_so_are_the_directories(out: Path) -> None:
    pairs = [issue_node(out, "host1"), issue_operator(out, "alice"), renew(out, "host1")]
    for key in [out / "ca.key", *(pair.key for pair in pairs)]:
        assert mode(key) == 0o600
    for directory in (out, out / "nodes", out / "operators"):
        assert mode(directory) == 0o700


def test_a_key_is_never_readable_by_others_under_a_lax_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    create = os.open

    def watch(path: Path, flags: int, permissions: int = 0o777) -> int:
        descriptor = create(path, flags, permissions)
        seen[path.name] = os.fstat(descriptor).st_mode & 0o777
        return descriptor

    before = os.umask(0)
    try:
        with monkeypatch.context() as patched:
            patched.setattr("certs.placing.os.open", watch)
            make_ca(tmp_path / "out", "lab")
    finally:
        os.umask(before)
    assert [bits for name, bits in seen.items() if "ca.key" in name] == [0o600]


def test_nothing_temporary_is_left(out: Path) -> None:
    issue_node(out, "host1")
    renew(out, "host1")
    names = sorted(path.name for path in out.rglob("*"))
    assert names == ["ca.key", "ca.pem", "host1.key", "host1.pem", "nodes"]


@pytest.mark.parametrize("remaining", [["ca.pem", "ca.key"], ["ca.pem"], ["ca.key"]])
def test_a_ca_or_a_part_of_one_is_never_overwritten(out: Path, remaining: list[str]) -> None:
    for name in {"ca.pem", "ca.key"} - set(remaining):
        (out / name).unlink()
    before = {name: (out / name).read_bytes() for name in remaining}
    with pytest.raises(
        Refused, match=r"never overwritten: .*choose another --out, or move it away"
    ):
        make_ca(out, "lab")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_ca_that_appears_meanwhile_is_not_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    make_ca(tmp_path, "lab")
    before = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes()
    with pytest.raises(Refused, match="is there already"):
        make_ca(tmp_path, "lab")
    assert ((tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes()) == before


@pytest.mark.parametrize("issue", [issue_node, issue_operator])
def test_a_known_holder_is_refused_until_renewed(
    out: Path, issue: Callable[[Path, str], Pair]
) -> None:
    pair = issue(out, "host1")
    before = pair.certificate.read_bytes(), pair.key.read_bytes()
    with pytest.raises(Refused, match="`renew host1` replaces it"):
        issue(out, "host1")
    assert (pair.certificate.read_bytes(), pair.key.read_bytes()) == before


def test_renewing_makes_a_new_key_serial_and_certificate_for_the_same_identity(out: Path) -> None:
    old_pair = issue_operator(out, "Alice")
    old, old_key = read(old_pair.certificate), old_pair.key.read_bytes()
    pair = renew(out, "Alice")
    new = read(pair.certificate)
    assert pair == old_pair
    assert sans(new) == sans(old)
    assert new.serial_number != old.serial_number
    assert pair.key.read_bytes() != old_key
    key = load_pem_private_key(pair.key.read_bytes(), password=None)
    assert key.public_key() == new.public_key()


def test_renewing_repairs_a_pair_that_was_cut_off(out: Path) -> None:
    pair = issue_node(out, "host1")
    pair.key.unlink()
    assert renew(out, "host1").key.exists()


@pytest.mark.parametrize("name", ["host9", "../ca", "", "Alice", "a/b"])
def test_a_stranger_is_not_renewed(out: Path, name: str) -> None:
    with pytest.raises(Refused, match="no node or operator of that name"):
        renew(out, name)


def test_a_name_that_is_both_is_renewed_by_kind_only(out: Path) -> None:
    node, operator = issue_node(out, "x"), issue_operator(out, "x")
    before = node.certificate.read_bytes(), operator.certificate.read_bytes()
    with pytest.raises(Refused, match="say which with --kind"):
        renew(out, "x")
    renew(out, "x", authority.Kind.OPERATOR)
    assert node.certificate.read_bytes() == before[0]
    assert operator.certificate.read_bytes() != before[1]


@pytest.mark.parametrize("missing", ["ca.pem", "ca.key"])
def test_without_the_whole_ca_nothing_is_issued(out: Path, missing: str) -> None:
    (out / missing).unlink()
    with pytest.raises(Refused, match=f"{missing}: is not there; "):
        issue_node(out, "host1")


def test_a_ca_whose_files_do_not_belong_together_issues_nothing(out: Path, tmp_path: Path) -> None:
    other = make_ca(tmp_path / "other", "lab")
    (out / "ca.key").write_bytes(other.key.read_bytes())
    with pytest.raises(Refused, match=r"ca\.key is not the key"):
        issue_node(out, "host1")
    (out / "ca.key").write_bytes(b"nothing")
    with pytest.raises(Refused, match="the CA cannot be read"):
        issue_node(out, "host1")


NAMES = st.text("abzAZ019.-_/ é\n", max_size=70) | st.text("ab01.-", max_size=66)


def accepted(kind: authority.Kind, name: str) -> bool:
    try:
        authority.pair_of(Path("out"), kind, name)
    except Refused:
        return False
    return True


def parsed(text: str) -> Identity | None:
    try:
        return parse_spiffe_id(text)
    except IdentityError:
        return None


@given(NAMES)
@example("a" * 63)
@example("a" * 64)
@example("10.0.0.1")
@example("host.1")
@example("host1\n")
@example("..")
@example("a..b")
@example("a.")
@example("-a")
@example("a-")
def test_the_ca_issues_exactly_the_names_that_a_daemon_accepts(name: str) -> None:
    for kind in Kind:
        identity = parsed(f"spiffe://lab/{kind}/{name}")
        assert (identity is not None) == accepted(authority.Kind(kind.value), name)
        assert identity in (None, Identity("lab", kind, name))


@given(NAMES)
@example("lab")
@example("1.2.3.4")
def test_a_cluster_can_be_named_exactly_as_a_daemon_accepts(name: str) -> None:
    try:
        parse_cluster_id(f"spiffe://{name}")
        is_known = True
    except IdentityError:
        is_known = False
    assert is_known == accepted(authority.Kind.NODE, name)
    assert is_known == (parsed(f"spiffe://{name}/node/a") is not None)


def test_a_cluster_of_a_bad_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'Lab/x': is no cluster's name"):
        make_ca(tmp_path, "Lab/x")
    assert not any(tmp_path.iterdir())
