"""QEMU's command line: complete, in an order that does not depend on the file, the same on both
ends but for paths; and what cannot be moved is said before a migration begins.
"""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.qemu.command import MAX_NAME, Setting, objections, qemu_argv, receiving
from bmigd.drivers.qemu.devices import MODELS
from bmigd.drivers.qemu.images import flaw
from bmigd.guests.definition import MIB, Definition, Device, make

MAC = "58:9c:fc:00:00:01"
HERE = Setting(
    qemu=Path("/usr/bin/qemu-system-x86_64"),
    accel="tcg",
    memory=Path("/spool/web1.qemu/ram"),
    monitor=Path("/run/web1/qmp"),
    storage={"nfs": Path("/storage/nfs")},
    taps={MAC: "tap7"},
)
DISK = {"emulation": "virtio-blk", "storage": "nfs", "image": "web1.raw"}
CARD = {"emulation": "virtio-net", "network": "lan", "mac": MAC}


def definition(**changes: object) -> Definition:
    """A guest with one of everything."""
    return make(
        {
            "name": "web1",
            "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
            "driver": "qemu",
            "machine": "pc-q35-7.2",
            "memory_bytes": 4096 * MIB,
            "cpu": {"sockets": 1, "cores": 2, "threads": 2},
            "firmware": {
                "kernel": "/k/vmlinuz",
                "initrd": "/k/initrd",
                "kernel_arguments": "a=b,c d",
            },
            "devices": [
                {"slot": "10", "emulation": "vga"},
                {"slot": "5", **CARD},
                {"slot": "4", **DISK},
                {
                    "slot": "3",
                    **DISK,
                    "image": "web1.qcow2",
                    "options": ["format=qcow2", "read-only"],
                },
            ],
            **changes,
        }
    )


def blockdev(driver: str, node: str, *, read_only: bool, **more: Any) -> str:
    """The value of a -blockdev."""
    if driver == "file":
        first = {"driver": driver, "node-name": node, "filename": more["filename"], "locking": "on"}
        cache = {"cache": {"direct": False}, "drop-cache": True}
        return json.dumps({**first, "read-only": read_only, **cache})
    return json.dumps(
        {"driver": driver, "node-name": node, "file": more["file"], "read-only": read_only}
    )


def test_the_command_line_says_everything_about_the_guest() -> None:
    argv = qemu_argv(definition(wired_memory=True), HERE)
    assert argv == [
        *("/usr/bin/qemu-system-x86_64", "-name", "guest=web1"),
        *("-uuid", "6f1a0f6e-8a2e-4f6c-9c88-000000000001"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-S"),
        *("-machine", "pc-q35-7.2,memory-backend=ram0"),
        *("-accel", "tcg", "-cpu", "qemu64", "-m", "4096M", "-object"),
        "memory-backend-file,id=ram0,size=4096M,mem-path=/spool/web1.qemu/ram,share=on",
        *("-overcommit", "mem-lock=on", "-smp", "4,sockets=1,cores=2,threads=2"),
        *("-kernel", "/k/vmlinuz", "-initrd", "/k/initrd", "-append", "a=b,c d"),
        *("-chardev", "socket,id=monitor,path=/run/web1/qmp,server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", "serial,id=console,path={console}", "-serial", "chardev:console"),
        "-blockdev",
        blockdev("file", "file3", read_only=True, filename="/storage/nfs/web1.qcow2"),
        *("-blockdev", blockdev("qcow2", "disk3", read_only=True, file="file3")),
        *("-device", "virtio-blk-pci,id=dev3,bus=pcie.0,addr=0x3,drive=disk3"),
        "-blockdev",
        blockdev("file", "file4", read_only=False, filename="/storage/nfs/web1.raw"),
        *("-blockdev", blockdev("raw", "disk4", read_only=False, file="file4")),
        *("-device", "virtio-blk-pci,id=dev4,bus=pcie.0,addr=0x4,drive=disk4"),
        *("-netdev", "tap,id=net5,ifname=tap7,script=no,downscript=no,vhost=off", "-device"),
        f"virtio-net-pci,id=dev5,bus=pcie.0,addr=0x5,netdev=net5,mac={MAC},romfile=",
        *("-device", "VGA,id=dev10,bus=pcie.0,addr=0xa"),
    ]


def test_without_a_kernel_it_boots_from_its_boot_rom_or_the_hypervisors() -> None:
    argv = qemu_argv(definition(firmware={"bootrom": "/firmware/OVMF.fd"}), HERE)
    assert argv[argv.index("-bios") + 1] == "/firmware/OVMF.fd"
    assert not {"-kernel", "-initrd", "-append"} & {*argv}
    assert "-bios" not in qemu_argv(definition(firmware={}), HERE)


def test_the_older_machine_has_another_bus() -> None:
    argv = qemu_argv(definition(machine="pc-i440fx-7.2"), HERE)
    assert "VGA,id=dev10,bus=pci.0,addr=0xa" in argv


def test_a_comma_in_a_path_is_no_option() -> None:
    there = Setting(**{**vars(HERE), "memory": Path("/a,b/ram"), "monitor": Path("/c,d/qmp")})
    argv = qemu_argv(definition(), there)
    assert "memory-backend-file,id=ram0,size=4096M,mem-path=/a,,b/ram,share=on" in argv
    assert "socket,id=monitor,path=/c,,d/qmp,server=on,wait=off" in argv


@given(st.permutations(definition().devices))
def test_the_order_of_devices_in_the_file_does_not_matter(devices: list[Device]) -> None:
    shuffled = definition().model_copy(update={"devices": tuple(devices)})
    assert qemu_argv(shuffled, HERE) == qemu_argv(definition(), HERE)


def test_both_ends_differ_in_paths_and_taps_alone() -> None:
    there = Setting(
        qemu=Path("/opt/qemu"),
        accel="tcg",
        memory=Path("/m"),
        monitor=Path("/s"),
        storage={"nfs": Path("/mnt")},
        taps={MAC: "tap0"},
    )
    pairs = zip(qemu_argv(definition(), HERE), qemu_argv(definition(), there), strict=True)
    differing = [there for here, there in pairs if here != there]
    assert len(differing) == 6
    for words in ("/opt/qemu", "=/m,", "=/s,", "/mnt/web1.qcow2", "/mnt/web1.raw", "ifname=tap0"):
        assert any(words in one for one in differing), words


def test_one_that_receives_is_the_same_machine_waiting() -> None:
    argv = qemu_argv(definition(), HERE)
    assert receiving(argv) == [*argv, "-incoming", "defer"]


def test_a_guest_that_can_be_moved_meets_no_objection() -> None:
    assert objections(definition(), HERE.storage) == []


@pytest.mark.parametrize("emulation", MODELS)
def test_every_device_of_the_list_can_be_had(emulation: str) -> None:
    whole = next((one for one in (DISK, CARD) if one["emulation"] == emulation), {})
    whole = {**CARD, "emulation": "e1000"} if emulation == "e1000" else whole
    device = {"slot": "2", "emulation": emulation, **whole}
    assert objections(definition(devices=[device]), HERE.storage) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"machine": None}, "machine must be"),
        ({"machine": "microvm-7.2"}, "machine must be"),
        ({"name": "x" * (MAX_NAME + 1)}, "61 characters"),
        ({"options": ["-enable-kvm"]}, "-enable-kvm"),
        ({"firmware": {"bootrom": "/f", "variables": "/v"}}, "variable store"),
        ({"devices": [{"slot": "2", "emulation": "vhost-user-fs"}]}, "does not move vhost-user-fs"),
        ({"devices": [{"slot": "2", "emulation": "vfio-pci"}]}, "does not move vfio-pci"),
        ({"devices": [{"slot": "2", "emulation": "lpc"}]}, "does not move lpc"),
        ({"devices": [{"slot": "31", "emulation": "vga"}]}, "(slot 31)"),
        ({"devices": [{"slot": "0", "emulation": "vga"}]}, "(slot 0)"),
        ({"devices": [{"slot": "32", "emulation": "vga"}]}, "(slot 32)"),
        ({"devices": [{"slot": "3:1", "emulation": "vga"}]}, "(slot 3:1)"),
        ({"devices": [{"slot": "1:3:0", "emulation": "vga"}]}, "(slot 1:3:0)"),
        ({"machine": "pc-i440fx-7.2", "devices": [{"slot": "1", **DISK}]}, "(slot 1)"),
        ({"devices": [{"slot": "2", "emulation": "virtio-blk"}]}, "needs a storage"),
        ({"devices": [{"slot": "2", **DISK, "emulation": "vga"}]}, "nothing else has them"),
        ({"devices": [{"slot": "2", "emulation": "virtio-net"}]}, "need a network"),
        ({"devices": [{"slot": "2", **CARD, "emulation": "vga"}]}, "nothing else has them"),
        ({"devices": [{"slot": "2", **DISK, "options": ["format=vmdk"]}]}, "format=vmdk"),
        ({"devices": [{"slot": "2", **DISK, "options": ["locking=off"]}]}, "locking=off"),
        ({"devices": [{"slot": "2", **CARD, "options": ["vhost=on"]}]}, "vhost=on"),
        ({"devices": [{"slot": "2", **DISK, "options": ["read-only"] * 2}]}, "say the same"),
        (
            {"devices": [{"slot": "2", **DISK, "options": ["format=raw", "format=qcow2"]}]},
            "say the same",
        ),
        ({"devices": [{"slot": "2", **DISK, "storage": "ghost"}]}, "'ghost'"),
    ],
)
def test_what_cannot_be_run_or_moved_meets_one_objection(
    changes: dict[str, Any], words: str
) -> None:
    (found,) = objections(definition(**changes), HERE.storage)
    assert words in found


def qcow2(version: int = 3, backing: int = 0, incompatible: int = 0) -> bytes:
    """The beginning of an image."""
    return struct.pack(">4sIQ56xQ", b"QFI\xfb", version, backing, incompatible)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (qcow2(), ""),
        (qcow2(incompatible=1), ""),
        (qcow2(version=2, incompatible=4), ""),  # where features are later, anything is there
        (qcow2(backing=512), "backing file"),
        (qcow2(incompatible=4), "data file"),
        (qcow2(version=4), "no qcow2"),
        (b"", "no qcow2"),
        (bytes(80), "no qcow2"),
    ],
)
def test_an_image_that_names_other_files_is_not_taken(header: bytes, words: str) -> None:
    assert words in flaw(header)
    assert bool(words) == bool(flaw(header))
