"""A snapshot counts as complete only when its three files agree with each other and with the guest.

bhyvectl's exit status proves nothing, so this judgement alone stands between a half-written
snapshot and a guest that was stopped for it. Whatever .meta holds, the answer is words and never
an exception.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.bhyve.snapshot import META_BYTES, files, flaw, flaw_in_files, remove, suffixed

MIB = 1 << 20
KERN_BYTES = 1000
META: dict[str, Any] = {
    "basic metadata": {"ncpus": 2, "vmname": "web1", "memsize": 64 * MIB, "memflags": 0},
    "kern_structs": [
        {"device": "vhpet", "size": 300, "file_offset": 0},
        {"device": "vm", "size": 100, "file_offset": 300},
    ],
    "devices": [{"device": "virtio-blk@pci.0.4.0", "size": 600, "file_offset": 400}],
}
TEXT = json.dumps(META, indent=2)


def judged(
    text: str, ram_bytes: int = 64 * MIB, kern_bytes: int = KERN_BYTES, name: str = "web1"
) -> str:
    """What is wrong with a snapshot of web1, 64 MiB."""
    return flaw(text, name, 64 * MIB, ram_bytes, kern_bytes)


def without(*path: str | int) -> str:
    """The text with one key missing."""
    content: Any = json.loads(TEXT)
    at = content
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return json.dumps(content)


def changed(value: object, *path: str | int) -> str:
    """The text with another value somewhere."""
    content: Any = json.loads(TEXT)
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(content)


def test_a_complete_snapshot_has_no_flaw() -> None:
    assert judged(TEXT) == ""
    assert judged(json.dumps(META)) == ""


def test_numbers_may_be_written_as_text() -> None:
    assert judged(changed(str(64 * MIB), "basic metadata", "memsize")) == ""
    assert judged(changed("600", "devices", 0, "size")) == ""


@pytest.mark.parametrize(
    "path",
    [
        ("basic metadata",),
        ("kern_structs",),
        ("devices",),
        ("basic metadata", "vmname"),
        ("basic metadata", "memsize"),
        ("devices", 0, "size"),
        ("devices", 0, "file_offset"),
        ("kern_structs", 1, "size"),
        ("devices", 0),
    ],
)
def test_a_missing_part_is_a_flaw(path: tuple[str | int, ...]) -> None:
    assert judged(without(*path))


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "x", [], {}, [None], -1, 1.5e300, True, "9" * 5000),
        *(float("inf"), float("-inf"), float("nan")),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "path",
    [
        ("basic metadata",),
        ("devices",),
        ("basic metadata", "vmname"),
        ("basic metadata", "memsize"),
        ("devices", 0),
        ("devices", 0, "size"),
        ("devices", 0, "file_offset"),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_flaw(value: object, path: tuple[str | int, ...]) -> None:
    assert judged(changed(value, *path))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"kern_structs"', "[" * 100_000])
def test_a_meta_that_is_no_object_is_a_flaw(text: str) -> None:
    assert judged(text)


@given(st.integers(0, len(TEXT.rstrip("}\n ")) - 1))
def test_a_meta_that_is_cut_is_a_flaw(length: int) -> None:
    assert judged(TEXT[:length])


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="ascii"))
def test_a_meta_with_one_character_changed_gets_a_verdict(position: int, character: str) -> None:
    verdict = judged(TEXT[:position] + character + TEXT[position + 1 :])
    assert isinstance(verdict, str)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_anywhere_gets_a_verdict(value: object) -> None:
    for path in [("basic metadata", "memsize"), ("devices", 0, "size"), ("devices",)]:
        assert judged(changed(value, *path))


@pytest.mark.parametrize("part", ["kern_structs", "devices"])
@pytest.mark.parametrize("value", [[], {}, "", "ab", None, 0], ids=repr)
def test_a_part_with_nothing_in_it_is_a_flaw(part: str, value: object) -> None:
    content = json.loads(changed(value, part))
    if part == "devices":  # else the other part no longer ends where .kern ends
        content["kern_structs"][1]["size"] = KERN_BYTES - 300
    assert part in judged(json.dumps(content)) or "broken" in judged(json.dumps(content))


@pytest.mark.parametrize("part", ["kern_structs", "devices"])
@pytest.mark.parametrize(
    "element", [{"device": "x", "size": 0, "file_offset": 0}, {"size": 1, "file_offset": 0}]
)
def test_an_element_without_name_or_bytes_is_a_flaw(part: str, element: dict[str, Any]) -> None:
    content = json.loads(TEXT)
    content[part].append(element)
    assert "broken" in judged(json.dumps(content))


@pytest.mark.parametrize("kern_bytes", [0, KERN_BYTES - 1, KERN_BYTES + 1])
def test_a_kern_file_of_another_length_is_a_flaw(kern_bytes: int) -> None:
    assert "describes 1000" in judged(TEXT, kern_bytes=kern_bytes)


@pytest.mark.parametrize("ram_bytes", [0, 64 * MIB - 1, 64 * MIB + 1, 128 * MIB])
def test_a_memory_file_of_another_size_is_a_flaw(ram_bytes: int) -> None:
    assert judged(TEXT, ram_bytes=ram_bytes)


def test_a_snapshot_of_another_guest_is_a_flaw() -> None:
    assert "'web1'" in judged(TEXT, name="web2")
    assert judged(changed(128 * MIB, "basic metadata", "memsize"))


def test_the_ends_need_not_be_in_order() -> None:
    content = json.loads(TEXT)
    content["kern_structs"].reverse()
    assert judged(json.dumps(content)) == ""


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A complete one on disk."""
    file = tmp_path / "web1.ckp"
    file.touch()
    with file.open("r+b") as memory:
        memory.truncate(64 * MIB)
    suffixed(file, "kern").write_bytes(bytes(KERN_BYTES))
    suffixed(file, "meta").write_text(TEXT)
    return file


def test_files_on_disk_are_judged_together(snapshot: Path) -> None:
    assert [path.name for path in files(snapshot)] == ["web1.ckp", "web1.ckp.kern", "web1.ckp.meta"]
    assert flaw_in_files(snapshot, "web1", 64 * MIB) == ""
    suffixed(snapshot, "kern").write_bytes(bytes(KERN_BYTES - 1))
    assert flaw_in_files(snapshot, "web1", 64 * MIB)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_file_is_a_flaw(snapshot: Path, number: int) -> None:
    files(snapshot)[number].unlink()
    assert "cannot be read" in flaw_in_files(snapshot, "web1", 64 * MIB)


@pytest.mark.parametrize("content", [b"\xff\xfe", b" " * (META_BYTES + 1), b""])
def test_a_meta_that_is_no_text_or_too_long_is_a_flaw(snapshot: Path, content: bytes) -> None:
    suffixed(snapshot, "meta").write_bytes(content)
    assert flaw_in_files(snapshot, "web1", 64 * MIB)


def test_all_three_files_are_removed_and_none_need_be_there(snapshot: Path) -> None:
    remove(snapshot)
    remove(snapshot)
    assert not any(path.exists() for path in files(snapshot))
