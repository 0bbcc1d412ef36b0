"""A guest description is read whole or refused with the key that is wrong."""

import uuid

import pytest
from bmig.v1 import guest_pb2
from bmigctl import definition
from bmigctl.errors import UsageFault

GOOD = """\
name = "vm1"
uuid = "5d6e0000-0000-4000-8000-000000000001"
driver = "bhyve"
memory = "256M"
wired_memory = true
options = ["x86.strictmsr=false"]
[cpu]
sockets = 1
cores = 2
threads = 1
[firmware]
bootrom = "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd"
variables = ""
[[device]]
slot = "0:0"
emulation = "hostbridge"
[[device]]
slot = "4:0"
emulation = "virtio-blk"
storage = "tank"
image = "vm1.img"
options = ["nocache"]
[[device]]
slot = "5:0"
emulation = "virtio-net"
network = "lan"
mac = "58:9c:fc:00:00:01"
"""


def complaint(text: str) -> str:
    with pytest.raises(UsageFault) as caught:
        definition.parse(text, "vm1.toml")
    assert caught.value.exit_code == 2
    return caught.value.message


def test_everything_is_taken_over() -> None:
    made = definition.parse(GOOD, "vm1.toml")
    assert made.memory_bytes == 256 << 20
    assert made.wired_memory
    assert (made.cpu.sockets, made.cpu.cores, made.cpu.threads) == (1, 2, 1)
    assert made.firmware.bootrom_path.endswith("BHYVE_UEFI.fd")
    assert list(made.options) == ["x86.strictmsr=false"]
    bridge, disk, card = made.devices
    assert not bridge.HasField("disk")
    assert (disk.disk.storage, disk.disk.image, list(disk.options)) == (
        "tank",
        "vm1.img",
        ["nocache"],
    )
    assert (card.network_card.network, card.network_card.mac) == ("lan", "58:9c:fc:00:00:01")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("wired_memory", "wierd_memory", 'unknown key "wierd_memory"'),
        ("cores = 2", "core = 2", 'cpu.unknown key "core"'),
        ("cores = 2", "cores = true", "cpu.cores: must be a whole number"),
        ("cores = 2", "cores = 0", "cpu.cores: must be at least 1 and below 2**32, is 0"),
        ("cores = 2", "cores = 4294967296", "cpu.cores"),
        ('"256M"', '"much"', 'memory: "much" is not a size'),
        ('"256M"', '"99999999999T"', "is too much"),
        ('driver = "bhyve"\n', "", '"driver" is missing'),
        ('image = "vm1.img"\n', "", 'device 2: "storage" needs "image" beside it'),
        ('network = "lan"\n', "", 'device 3: "mac" needs "network" beside it'),
        ('slot = "5:0"\n', "", 'device 3: "slot" is missing'),
        ('["nocache"]', "[5]", "device 2: options: must be a list of texts"),
        ("bootrom", "bootroom", 'firmware.unknown key "bootroom"'),
        ("[cpu]", "[cpu", "line 7"),
        ("wired_memory = true", 'wired_memory = "yes"', "wired_memory: must be true or false"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    assert words in complaint(text)
    assert complaint(text).startswith("vm1.toml: ")


def test_a_device_must_be_a_table() -> None:
    assert "must be tables" in complaint('name="v"\ndriver="b"\nmemory="1M"\ndevice=[5]\n')


def test_a_missing_uuid_is_made_once() -> None:
    made = definition.parse(GOOD.replace("uuid", "# uuid"), "vm1.toml")
    assert made.uuid == ""
    first = definition.with_uuid(made, None)
    assert uuid.UUID(first.uuid)
    assert definition.with_uuid(made, first).uuid == first.uuid


def test_a_given_uuid_stays() -> None:
    made = definition.parse(GOOD, "vm1.toml")
    other = guest_pb2.GuestDefinition(uuid="other")
    assert definition.with_uuid(made, other).uuid == made.uuid
