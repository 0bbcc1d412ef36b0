"""A definition that validates is safe to put into paths and command lines, and its file says all of
it: what is written is what is read.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.errors import Invalid
from bmigd.guests.definition import (
    MIB,
    Definition,
    make,
    parse_size,
    parse_toml,
    render_size,
    render_toml,
)
from tests.guests.definitions import GUESTS, VALUES, a_guest


@given(GUESTS)
def test_what_is_written_is_what_is_read(guest: Definition) -> None:
    assert parse_toml(render_toml(guest)) == guest


def test_the_file_is_for_people() -> None:
    text = render_toml(a_guest())
    assert 'memory = "512M"' in text
    assert text.count("[[device]]") == 4


HOSTILE = ["", ".", "..", ".hidden", "-f", "a/b", "../a", "a b", "a,b", "a\n", "\n", "a\0", "é"]
HOSTILE += ["{console}", "a;b", "$(a)", "`a`", "a'b", 'a"b', "a" * 65, "а"]  # noqa: RUF001 - Cyrillic


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_not_safe_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="name: "):
        a_guest(name=name)


@given(st.text(max_size=70))
def test_a_name_that_is_taken_stays_in_its_directory(name: str) -> None:
    try:
        guest = a_guest(name=name)
    except Invalid:
        return
    assert Path("/guests", f"{guest.name}.toml").parent == Path("/guests")
    assert not guest.name.startswith(("-", "."))
    assert guest.name.isascii()
    assert guest.name.isprintable()


@pytest.mark.parametrize("option", ["a,b", "a b", "", "a\n", "a\tb", "a" * 201, "é"])
def test_an_option_cannot_become_two(option: str) -> None:
    with pytest.raises(Invalid):
        a_guest(options=[option])
    with pytest.raises(Invalid):
        a_guest(devices=[{"slot": "1", "emulation": "lpc", "options": [option]}])


@pytest.mark.parametrize("image", ["..", "a/../b", "../a", "/etc/passwd", "a/..", "", "-a", "a,b"])
def test_an_image_stays_in_its_storage(image: str) -> None:
    disk = {"slot": "1", "emulation": "virtio-blk", "storage": "nfs", "image": image}
    with pytest.raises(Invalid):
        a_guest(devices=[disk])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memory_bytes": 16 * MIB - 1}, "memory must be 16M to 16T"),
        ({"memory_bytes": 16 * MIB + 1}, "multiple of 1 MiB"),
        ({"memory_bytes": (1 << 44) + MIB}, "memory must be 16M to 16T"),
        ({"uuid": "x"}, "uuid"),
        ({"driver": "Bhyve"}, "driver"),
        ({"cpu": {"cores": 0}}, "cpu.cores"),
        ({"cpu": {"coers": 1}}, "cpu.coers"),
        ({"colour": "red"}, "colour"),
        ({"firmware": {"bootrom": "relative"}}, "firmware.bootrom"),
        ({"firmware": {"bootrom": "/a,b"}}, "firmware.bootrom"),
        ({"firmware": {"variables": "/v"}}, "needs a boot ROM"),
        ({"firmware": {"initrd": "/i"}}, "need a kernel"),
        ({"firmware": {"kernel_arguments": "quiet"}}, "need a kernel"),
        ({"firmware": {"kernel": "/k", "kernel_arguments": "a\nb"}}, "kernel_arguments"),
        ({"machine": "q35"}, "machine"),
        ({"machine": "pc-q35-7.2,accel=kvm"}, "machine"),
        ({"devices": None}, "devices"),
        ({"devices": [{"slot": "1:2:9", "emulation": "lpc"}]}, "devices.#1.slot"),
        ({"devices": [{"slot": "x", "emulation": "lpc"}]}, "devices.#1.slot"),
        ({"devices": [{"slot": "1", "emulation": "LPC"}]}, "devices.#1.emulation"),
        ({"devices": [{"slot": "1", "emulation": "b", "storage": "nfs"}]}, "storage and image"),
        ({"devices": [{"slot": "1", "emulation": "n", "network": "lan"}]}, "network and mac"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as wrong:
        a_guest(**changes)
    assert wrong.value.reason == "DEFINITION_INVALID"
    assert words in wrong.value.message


@pytest.mark.parametrize("missing", ["name", "uuid", "driver", "memory_bytes"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(Invalid, match=missing):
        make({key: value for key, value in VALUES.items() if key != missing})


@pytest.mark.parametrize(
    ("one", "other"), [("1", "01"), ("1", "0:1:0"), ("1", "1:0"), ("0:1:2", "1:2")]
)
def test_two_devices_never_share_a_slot_however_it_is_written(one: str, other: str) -> None:
    devices = [{"slot": slot, "emulation": "virtio-rnd"} for slot in (one, other)]
    with pytest.raises(Invalid, match="share a slot"):
        a_guest(devices=devices)


def test_disks_and_networks_are_listed() -> None:
    guest = a_guest()
    assert guest.disks == (("nfs", "web1.raw"),)
    assert guest.networks == ("lan",)
    assert guest.cpu.count == 2


@given(st.integers(0, 10**15 - 1))
def test_sizes_come_back(size_bytes: int) -> None:
    assert parse_size(render_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("256M", 256 << 20), ("5g", 5 << 30), (" 1024K ", 1 << 20), ("1T", 1 << 40), ("17", 17)],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "-1M", "1.5G", "1P", "1 M", "1e9", "٣M", "9" * 16])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)
    with pytest.raises(Invalid):
        parse_toml(render_toml(a_guest()).replace('"512M"', f'"{text}"'))


@pytest.mark.parametrize("text", ["", "[", "memory = 1", 'device = 1\nmemory = "16M"', "\0"])
def test_a_file_that_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_toml(text)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{a = " * 5000,
        "[" + "a." * 5000 + "a]",
        "cpu" + ".a" * 5000 + " = 1",
        "[[device]]\noptions = " + "[" * 90 + "]" * 90,
    ],
    ids=["lists", "tables", "dotted", "known", "inner"],
)
def test_a_file_that_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_toml('memory = "16M"\n' + text)
    assert refused.value.reason == "DEFINITION_INVALID"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devices": [{"slot": f"{n}:1:0", "emulation": "lpc"} for n in range(65)]}, "devices"),
        ({"options": ["o"] * 33}, "options"),
        ({"devices": [{"slot": "1", "emulation": "lpc", "options": ["o"] * 33}]}, "options"),
    ],
)
def test_a_definition_is_bounded(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        a_guest(**changes)


def test_what_is_wrong_a_thousand_times_is_told_in_few_words() -> None:
    with pytest.raises(Invalid) as wrong:
        a_guest(name="a" * 100_000, devices=[{"slot": "x" * 1000}] * 60)
    assert len(wrong.value.message) <= 1000
