"""A wrong configuration stops the start and names every wrong field by its path; a right one is
complete, absolute and frozen.
"""

from pathlib import Path

import pydantic
import pytest
from pydantic import ValidationError

from bmigd import config
from bmigd.config import Config, load, parse
from bmigd.errors import Invalid
from bmigd.guests import definition

SMALLEST = """
[node]
name = "host1"
[tls]
ca = "ca.pem"
certificate = "/etc/bmig/host1.pem"
key = "keys/host1.key"
"""
FULL = (
    SMALLEST
    + """
[nodes]
host2 = "192.0.2.2:7117"
host3 = "[2001:db8::3]:7117"
[[operators]]
names = ["alice"]
allow = ["read", "migrate"]
[[peers]]
names = ["host*"]
guests = ["web*"]
allow = ["send", "receive"]
[storage]
nfs = "shared"
[networks]
lan = "bridge0"
[bhyve]
vmm_dir = "vmm"
[migration]
lease_s = 5
"""
)
PATH = Path("/etc/bmig/bmigd.toml")


def complaint(text: str) -> str:
    """What is said about a wrong file."""
    with pytest.raises(Invalid) as wrong:
        parse(text, PATH)
    assert wrong.value.reason == "CONFIG_INVALID"
    assert str(PATH) in wrong.value.message
    return wrong.value.message


def test_the_smallest_file_has_everything_else_by_default() -> None:
    config = parse(SMALLEST, PATH)
    assert config.node.listen == "0.0.0.0:7117"
    assert config.bhyve is None
    assert (config.operators, config.peers, config.nodes) == ((), (), {})


def test_a_full_file_is_understood() -> None:
    config = parse(FULL, PATH)
    assert config.nodes == {"host2": "192.0.2.2:7117", "host3": "[2001:db8::3]:7117"}
    assert config.operators[0].guests == ("*",)
    assert config.migration.lease_s == 5.0


def test_relative_paths_start_at_the_file() -> None:
    config = parse(FULL, PATH)
    assert config.tls.ca == Path("/etc/bmig/ca.pem")
    assert config.tls.certificate == Path("/etc/bmig/host1.pem")
    assert config.tls.key == Path("/etc/bmig/keys/host1.key")
    assert config.storage == {"nfs": Path("/etc/bmig/shared")}
    assert config.bhyve
    assert config.bhyve.vmm_dir == Path("/etc/bmig/vmm")
    assert config.bhyve.bhyve == Path("/usr/sbin/bhyve")


def test_a_file_that_is_named_relatively_still_gives_absolute_paths() -> None:
    config = parse(SMALLEST, Path("bmigd.toml"))
    assert config.tls.ca == Path.cwd() / "ca.pem"


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse(FULL, PATH).node.name = "host9"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[node]", "[node]\nnmae = 1"), "node.nmae: unknown field"),
        (("[node]", "[nodule]\n[node]"), "nodule: unknown field"),
        (('name = "host1"', ""), "node.name: is missing"),
        (('ca = "ca.pem"', ""), "tls.ca: is missing"),
        (('name = "host1"', "name = 7"), "node.name: "),
        (('name = "host1"', 'name = "Host_1"'), "node.name: "),
        (('name = "host1"', 'name = "host1\\n"'), "node.name: "),
        (('name = "host1"', 'name = "../host1"'), "node.name: "),
        (("lease_s = 5", "lease_s = 0"), "migration.lease_s: "),
        (("lease_s = 5", "lease_s = nan"), "migration.lease_s: "),
        (("lease_s = 5", 'lease_s = "soon"'), "migration.lease_s: "),
        (("lease_s = 5", "window_chunks = 1.5"), "migration.window_chunks: "),
        (("lease_s = 5", "window_chunks = 257"), "migration.window_chunks: "),
        (
            ("lease_s = 5", "peer_timeout_s = 1e300"),
            "migration.peer_timeout_s: must be at most 86400",
        ),
        (("lease_s = 5", "peer_timeout_s = 0"), "migration.peer_timeout_s: must be more than 0"),
        (('names = ["host*"]', 'names = "host*"'), "peers.#1.names: must be a list"),
        (('names = ["host*"]', "names = []"), "peers.#1.names: must have at least 1 of them"),
        (("[node]", "log = 3\n[node]"), "log: must be a table"),
        (('"migrate"', '"fly"'), "operators.#1.allow.#2: must be 'read', "),
        (('"receive"', '"migrate"'), "peers.#1.allow.#2: "),
        (('names = ["host*"]', 'names = [""]'), "peers.#1.names.#1: "),
        (("192.0.2.2:7117", "192.0.2.2"), "nodes.host2: must be ADDRESS:PORT, as "),
        (("[node]", '[node]\nlisten = "7117"'), "node.listen: must be ADDRESS:PORT, as "),
        (
            ('name = "host1"', 'name = "-"'),
            "node.name: must be small letters, digits, dots and hyphens",
        ),
        (("[node]", f'[node]\nrun_dir = "/{"r" * 60}"'), "node.run_dir: has more than 60 bytes"),
        (("lease_s = 5", "lease_s = 0.5"), "migration.lease_s: "),
        (("192.0.2.2:7117", "192.0.2.2:"), "nodes.host2: "),
        (("192.0.2.2:7117", "192.0.2.2:70000"), "the port must be at most 65535"),
        (("192.0.2.2:7117", "2001:db8::3:7117"), "nodes.host2: "),
        (('host2 = "', 'host1 = "'), "nodes.host1: is this node itself"),
        (('nfs = "shared"', "nfs = 1"), "storage.nfs: "),
        (('nfs = "shared"', '"n/s" = "shared"'), 'storage: the name "n/s": must be letters'),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change: tuple[str, str], words: str) -> None:
    assert change[0] in FULL
    assert words in complaint(FULL.replace(change[0], change[1], 1))


def test_every_wrong_field_is_named_at_once() -> None:
    wrong = complaint(FULL.replace('name = "host1"', "").replace("lease_s = 5", "leese_s = 5"))
    assert "node.name: is missing" in wrong
    assert "migration.leese_s: unknown field" in wrong


@pytest.mark.parametrize("text", ["[node", "node = ", "\x00", "[node]\nname='a'\nname='b'"])
def test_a_file_that_is_not_toml_is_refused(text: str) -> None:
    assert "not TOML" in complaint(text)


def test_an_empty_file_lacks_what_it_needs() -> None:
    assert "node: is missing; tls: is missing" in complaint("")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"\xff\xfe")
    for path, words in (
        (tmp_path / "missing.toml", "cannot read .*missing.toml: no such file or directory$"),
        (tmp_path, "cannot read .*: is a directory$"),
        (broken, "broken.toml is no file of UTF-8 text$"),
        (Path("\0"), "no file of UTF-8 text$"),
    ):
        with pytest.raises(Invalid, match=words) as refusal:
            load(path)
        assert "--config" in refusal.value.advice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"a = {'[' * 5000}", "lists or tables too deep"),
        (f"a = {'9' * 5000}", "a number is too long"),
    ],
)
def test_a_file_that_python_cannot_bear_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse(text, Path("bmigd.toml"))


def test_a_file_on_disk_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bmigd.toml"
    path.write_text(SMALLEST)
    assert load(path).tls.ca == tmp_path / "ca.pem"


def test_every_field_says_what_it_is() -> None:
    for name, section in Config.model_fields.items():
        kind = section.annotation
        for field_name, field in getattr(kind, "model_fields", {}).items():
            assert field.description, f"{name}.{field_name}"


def patterns(schema: object) -> set[str]:
    """Of every text in a schema."""
    if isinstance(schema, list):
        return set[str]().union(*map(patterns, schema))
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("patternProperties", ()))
    if isinstance(schema.get("pattern"), str):
        own.add(schema["pattern"])
    return own.union(*map(patterns, schema.values()))


@pytest.mark.parametrize(
    ("model", "forms"), [(Config, config.FORMS), (definition.Definition, definition.FORMS)]
)
def test_nobody_reads_a_regular_expression(
    model: type[pydantic.BaseModel], forms: dict[str, str]
) -> None:
    assert patterns(model.model_json_schema()) == set(forms)
