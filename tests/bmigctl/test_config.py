"""A configuration is read whole or refused with file, line and field."""

from pathlib import Path

import pytest
from bmigctl import config, identity
from bmigctl.config import Credentials
from bmigctl.errors import UsageFault

from tests.bmigctl.pki import DAY, Authority

GOOD = """\
ca = "ca.pem"
certificate = "alice.pem"
key = "alice.key"

[nodes]
host1 = "host1.example.org:7443"
"host2" = "[fd00::2]:7443"
"""
PATH = Path("/etc/bmigctl.toml")


def complaint(text: str) -> str:
    with pytest.raises(UsageFault) as caught:
        config.parse(text, PATH)
    return caught.value.message


def test_paths_start_at_the_file() -> None:
    read = config.parse(GOOD, PATH)
    assert read.credentials.key == Path("/etc/alice.key")
    assert read.nodes == {"host1": "host1.example.org:7443", "host2": "[fd00::2]:7443"}


def test_an_unknown_field_is_named_with_its_line() -> None:
    text = GOOD.replace("key =", "kye =")
    assert complaint(text).startswith('/etc/bmigctl.toml, line 3: unknown field "kye"')


def test_a_missing_field_is_named() -> None:
    assert 'field "ca" is missing' in complaint(GOOD.replace('ca = "ca.pem"\n', ""))


def test_a_wrong_type_is_named_with_its_line() -> None:
    assert "line 2" in complaint(GOOD.replace('"alice.pem"', "5"))


@pytest.mark.parametrize("address", ["host1", "host1:", "host1:0", "host1:70000", "fd00::1:7443"])
def test_a_wrong_address_is_named_with_its_line(address: str) -> None:
    words = complaint(GOOD.replace("host1.example.org:7443", address))
    assert words.startswith("/etc/bmigctl.toml, line 6: address of node host1")


@pytest.mark.parametrize("nodes", ["", "[nodes]\n", "nodes = 5\n"])
def test_at_least_one_node_is_needed(nodes: str) -> None:
    assert "at least one node" in complaint(GOOD.partition("[nodes]")[0] + nodes)


def test_broken_toml_is_told_with_its_line() -> None:
    assert "line 1" in complaint("ca = \n" + GOOD)


def test_an_address_is_split_at_its_port() -> None:
    assert config.split_address("[fd00::2]:7443") == ("fd00::2", 7443)
    assert config.split_address("host:1") == ("host", 1)


def test_a_missing_file_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no configuration at") as caught:
        config.load(tmp_path / "none.toml")
    assert "--config" in caught.value.advice


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.operator("alice").key.chmod(0o640)
    path = tmp_path / "bmigctl.toml"
    path.write_text(GOOD)
    with pytest.raises(UsageFault, match=r"mode 0640, must be 0600") as caught:
        config.load(path)
    assert caught.value.advice == f"chmod 600 {tmp_path / 'alice.key'}"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.operator("alice").key.unlink()
    path = tmp_path / "bmigctl.toml"
    path.write_text(GOOD)
    with pytest.raises(UsageFault, match=r'alice.key: no such file or directory \(field "key"'):
        config.load(path)


def test_our_own_expired_certificate_is_told_before_dialling(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.operator("alice", begins=-2 * DAY, ends=-DAY)
    with pytest.raises(UsageFault, match=r"our own certificate .* ended on"):
        identity.load(Credentials(authority.path, old.certificate, old.key))


def test_our_own_certificate_of_tomorrow_points_to_the_clock(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    new = authority.operator("alice", begins=DAY, ends=2 * DAY)
    with pytest.raises(UsageFault, match="begins on") as caught:
        identity.load(Credentials(authority.path, new.certificate, new.key))
    assert "clock" in caught.value.advice


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    alice, bob = authority.operator("alice"), authority.operator("bob")
    with pytest.raises(UsageFault, match="is not the key of"):
        identity.load(Credentials(authority.path, alice.certificate, bob.key))


def test_a_file_without_a_certificate_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    alice = authority.operator("alice")
    with pytest.raises(UsageFault, match="no certificate in it"):
        identity.load(Credentials(authority.path, alice.key, alice.key))
