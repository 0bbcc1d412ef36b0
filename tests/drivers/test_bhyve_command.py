"""The command line of a guest: complete, in an order that does not depend on the file, the same on
both ends but for paths; and what bhyve cannot save is said before a migration begins.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.bhyve.command import (
    HIGH_BASE_BYTES,
    LOW_LIMIT_BYTES,
    MAX_NAME,
    SAVEABLE,
    bhyve_argv,
    device_argument,
    objections,
    regions,
    restoring,
)
from bmigd.guests.definition import MIB, Definition, Device, make

STORAGE = {"nfs": Path("/storage/nfs")}
TAPS = {"58:9c:fc:00:00:01": "tap7"}
BHYVE = Path("/usr/sbin/bhyve")
DISK = {"storage": "nfs", "image": "web1.raw"}
CARD = {"network": "lan", "mac": "58:9c:fc:00:00:01"}
WHOLE = {"virtio-blk": DISK, "ahci-hd": DISK, "virtio-net": CARD, "e1000": CARD}


def definition(**changes: object) -> Definition:
    """A guest with one of everything."""
    return make(
        {
            "name": "web1",
            "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
            "driver": "bhyve",
            "memory_bytes": 4096 * MIB,
            "cpu": {"sockets": 1, "cores": 2, "threads": 2},
            "firmware": {"bootrom": "/firmware/UEFI.fd", "variables": "/storage/nfs/web1.fd"},
            "devices": [
                {"slot": "31", "emulation": "lpc"},
                {
                    "slot": "5",
                    "emulation": "virtio-net",
                    "network": "lan",
                    "mac": "58:9c:fc:00:00:01",
                },
                {
                    "slot": "4:1",
                    "emulation": "virtio-blk",
                    "storage": "nfs",
                    "image": "web1.raw",
                    "options": ["nocache"],
                },
                {"slot": "0", "emulation": "hostbridge"},
            ],
            "options": ["x=y"],
            **changes,
        }
    )


def test_the_command_line_says_everything_about_the_guest() -> None:
    argv = bhyve_argv(BHYVE, definition(wired_memory=True), STORAGE, TAPS)
    assert argv == [
        *("/usr/sbin/bhyve", "-A", "-H", "-P", "-U", "6f1a0f6e-8a2e-4f6c-9c88-000000000001"),
        *("-c", "cpus=4,sockets=1,cores=2,threads=2", "-m", "4096M", "-S"),
        *("-s", "0:0:0,hostbridge"),
        *("-s", "0:4:1,virtio-blk,/storage/nfs/web1.raw,nocache"),
        *("-s", "0:5:0,virtio-net,tap7,mac=58:9c:fc:00:00:01"),
        *("-s", "0:31:0,lpc", "-o", "x=y"),
        *("-l", "bootrom,/firmware/UEFI.fd,/storage/nfs/web1.fd", "-l", "com1,{console}", "web1"),
    ]


def test_memory_is_wired_only_where_asked_for() -> None:
    assert "-S" not in bhyve_argv(BHYVE, definition(), STORAGE, TAPS)


@given(st.permutations(definition().devices))
def test_the_order_of_devices_in_the_file_does_not_matter(devices: list[Device]) -> None:
    shuffled = definition().model_copy(update={"devices": tuple(devices)})
    assert bhyve_argv(BHYVE, shuffled, STORAGE, TAPS) == bhyve_argv(
        BHYVE, definition(), STORAGE, TAPS
    )


def test_both_ends_differ_in_paths_and_taps_alone() -> None:
    here = bhyve_argv(BHYVE, definition(), STORAGE, TAPS)
    there = bhyve_argv(
        Path("/opt/bhyve"), definition(), {"nfs": Path("/mnt")}, {"58:9c:fc:00:00:01": "tap0"}
    )
    differing = [pair for pair in zip(here, there, strict=True) if pair[0] != pair[1]]
    assert differing == [
        ("/usr/sbin/bhyve", "/opt/bhyve"),
        (
            "0:4:1,virtio-blk,/storage/nfs/web1.raw,nocache",
            "0:4:1,virtio-blk,/mnt/web1.raw,nocache",
        ),
        (
            "0:5:0,virtio-net,tap7,mac=58:9c:fc:00:00:01",
            "0:5:0,virtio-net,tap0,mac=58:9c:fc:00:00:01",
        ),
    ]


def test_a_restored_guest_has_the_same_command_line_and_its_file() -> None:
    argv = bhyve_argv(BHYVE, definition(), STORAGE, TAPS)
    assert restoring(argv, Path("/spool/f")) == [*argv[:-1], "-r", "/spool/f", "web1"]
    assert argv == bhyve_argv(BHYVE, definition(), STORAGE, TAPS)  # and is not changed by that


@pytest.mark.parametrize(
    ("slot", "address"), [("3", "0:3:0"), ("3:1", "0:3:1"), ("2:3:1", "2:3:1"), ("0", "0:0:0")]
)
def test_slots_are_read_as_bhyve_reads_them(slot: str, address: str) -> None:
    device = Device(slot=slot, emulation="virtio-rnd")
    assert device_argument(device, {}, {}) == f"{address},virtio-rnd"


@given(st.integers(16, 1 << 24).map(lambda mib: mib * MIB))
def test_regions_cover_the_memory_around_the_hole_below_four_gibibytes(memory_bytes: int) -> None:
    parts = regions(memory_bytes)
    assert sum(one.size_bytes for one in parts) == memory_bytes
    assert all(one.size_bytes > 0 for one in parts)
    assert parts[0].guest_address_bytes == 0
    assert parts[0].size_bytes <= LOW_LIMIT_BYTES
    assert [one.guest_address_bytes for one in parts[1:]] in ([], [HIGH_BASE_BYTES])
    assert (len(parts) == 2) == (memory_bytes > LOW_LIMIT_BYTES)


def test_a_guest_that_bhyve_can_save_meets_no_objection() -> None:
    assert objections(definition(), STORAGE) == []


def test_every_objection_is_named() -> None:
    bad = definition(
        name="x" * (MAX_NAME + 1),
        devices=[
            {"slot": "2", "emulation": "passthru"},
            {"slot": "3", "emulation": "nvme", "storage": "ghost", "image": "d.raw"},
        ],
    )
    found = objections(bad, STORAGE)
    assert len(found) == 5
    for words in ("61 characters", "passthru (slot 2)", "nvme (slot 3)", "'ghost'", "no lpc"):
        assert any(words in one for one in found), words


@pytest.mark.parametrize("emulation", SAVEABLE)
def test_emulations_with_saved_state_meet_no_objection(emulation: str) -> None:
    whole = {"slot": "1", "emulation": emulation, **WHOLE.get(emulation, {})}
    devices = [{"slot": "31", "emulation": "lpc"}, whole]
    assert objections(definition(devices=devices), STORAGE) == []


@pytest.mark.parametrize("emulation", ["virtio-net", "e1000"])
def test_a_card_whose_mac_bhyve_would_make_up_meets_an_objection(emulation: str) -> None:
    devices = [{"slot": "31", "emulation": "lpc"}, {"slot": "1", "emulation": emulation}]
    (found,) = objections(definition(devices=devices), STORAGE)
    assert "a network and a MAC" in found


@pytest.mark.parametrize(
    ("emulation", "option"),
    [("virtio-blk", "nocache"), ("ahci-hd", "ro"), ("ahci", "hd:/dev/ada1"), ("ahci", "cd:/x.iso")],
)
def test_a_disk_that_other_nodes_would_not_look_for_meets_an_objection(
    emulation: str, option: str
) -> None:
    disk = {"slot": "1", "emulation": emulation, "options": [option]}
    devices = [{"slot": "31", "emulation": "lpc"}, disk]
    assert len(objections(definition(devices=devices), STORAGE)) == 1


@pytest.mark.parametrize("option", ["path=/etc/passwd", "mac=58:9c:fc:00:00:09", "backend=tap9"])
def test_a_device_option_that_overrules_the_description_meets_an_objection(option: str) -> None:
    device = {"slot": "1", "emulation": "virtio-rnd", "options": [option]}
    devices = [{"slot": "31", "emulation": "lpc"}, device]
    (found,) = objections(definition(devices=devices), STORAGE)
    assert option in found


@pytest.mark.parametrize(
    "option",
    [
        *("uuid=x", "name=other", "memory.size=1G", "cpus=9", "rundir=/tmp", "config.dump=1"),
        *("pci.0.4.0.path=/etc/passwd", "lpc.com1.path=/dev/null", "destroy_on_poweroff=true"),
    ],
)
def test_an_option_that_overrules_the_description_meets_an_objection(option: str) -> None:
    (found,) = objections(definition(options=[option]), STORAGE)
    assert option in found


def test_an_option_that_says_something_else_meets_no_objection() -> None:
    assert (
        objections(definition(options=["x86.strictmsr=false", "rtc.use_localtime=false"]), STORAGE)
        == []
    )


CD = {"storage": "nfs", "image": "web1.iso"}


@pytest.mark.parametrize(
    ("emulation", "image", "option"),
    [
        ("ahci-cd", {}, "alice.key"),
        ("ahci-cd", {}, "ro"),
        ("ahci-cd", {}, "alice.key=x"),
        ("ahci", {}, "alice.key"),
        ("ahci-cd", CD, "alice.key"),
        ("virtio-blk", DISK, "alice.key"),
    ],
)
def test_no_option_of_a_disk_is_a_file_of_the_host(
    emulation: str, image: dict[str, str], option: str
) -> None:
    disk = {"slot": "1", "emulation": emulation, "options": [option], **image}
    (found,) = objections(definition(devices=[{"slot": "31", "emulation": "lpc"}, disk]), STORAGE)
    assert f"option {option} would be a file" in found


@pytest.mark.parametrize(
    ("emulation", "image", "option"),
    [
        ("virtio-blk", DISK, "nocache"),
        ("ahci-hd", DISK, "ser=BHYVE-1"),
        ("ahci-cd", CD, "ro"),
        ("xhci", {}, "tablet"),
    ],
)
def test_settings_of_devices_meet_no_objection(
    emulation: str, image: dict[str, str], option: str
) -> None:
    device = {"slot": "1", "emulation": emulation, "options": [option], **image}
    devices = [{"slot": "31", "emulation": "lpc"}, device]
    assert objections(definition(devices=devices), STORAGE) == []
