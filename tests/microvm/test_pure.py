"""What needs no process: options, layout, the socket's format, ROM, constants, oracle."""

from __future__ import annotations

import pytest

from microvm import engine, nvlist
from microvm.config import ConfigError, GuestConfig, memory_size
from microvm.guest import assemble, program
from microvm.guest.rom import Program, build
from microvm.memory import GIB, MIB, Layout
from microvm.options import CommandLine, Usage
from tests import needs
from tests.oracle import (
    Heartbeat,
    Oracle,
    WrongHeartbeat,
    chain,
    check_heartbeats,
    params_of,
    parse_heartbeats,
)


def values(line: str) -> dict[str, str]:
    return CommandLine(line.split()).values


def test_flags_cluster_and_values_may_be_attached() -> None:
    found = values("-AHPS -m1G -c 4 -s 3,virtio-blk,/d,nocache -lcom1,/dev/p g")
    assert found["memory.size"] == "1G"
    assert found["acpi_tables"] == found["memory.wired"] == "true"
    assert found["pci.0.3.0.path"] == "/d"
    assert found["pci.0.3.0.nocache"] == "true"
    assert found["lpc.com1.path"] == "/dev/p"
    assert found["name"] == "g"


def test_the_later_setting_wins() -> None:
    assert values("-m 1G -o memory.size=2G g")["memory.size"] == "2G"
    assert values("-o memory.size=2G -m 1G g")["memory.size"] == "1G"


@pytest.mark.parametrize(
    ("line", "count", "topology"),
    [
        ("", 1, (1, 1, 1)),
        ("-c 4", 4, (4, 1, 1)),
        ("-c cpus=8,sockets=2,cores=2,threads=2", 8, (2, 2, 2)),
        ("-c sockets=2,cores=3", 6, (2, 3, 1)),
        ("-c threads=2", 2, (1, 1, 2)),
    ],
)
def test_a_topology_and_a_count_make_each_other(
    line: str, count: int, topology: tuple[int, int, int]
) -> None:
    config = GuestConfig(values(f"{line} g"))
    assert (config.cpus, config.topology) == (count, topology)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cpus=3,sockets=2", "Topology (2 sockets, 1 cores, 1 threads) does not match 3 vCPUs"),
        ("cpus=4,cores=2", "Topology (4 sockets, 2 cores, 1 threads) does not match 4 vCPUs"),
        ("65", "65 vCPUs requested but only 64 available"),
    ],
)
def test_other_processors_are_refused(line: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        GuestConfig(values(f"-c {line} g"))
    assert (str(refused.value), refused.value.status) == (words, 4)


@pytest.mark.parametrize(
    ("line", "flags"),
    [("", 0), ("-C", 1), ("-S", 2), ("-SC", 3), ("-S -o memory.wired=false", 0)],
)
def test_memory_flags_are_the_bits_of_vmmapi(line: str, flags: int) -> None:
    assert GuestConfig(values(f"{line} g")).memory_flags == flags


def test_a_name_is_optional_only_with_a_snapshot() -> None:
    assert CommandLine(["-r", "/f"]).restore_from == "/f"
    with pytest.raises(Usage):
        CommandLine([])


@pytest.mark.parametrize(
    ("text", "size"),
    [("256", 256 * MIB), ("16M", 16 * MIB), ("5g", 5 * GIB), ("33554432", 32 * MIB)],
)
def test_memory_sizes_are_read_as_bhyve_reads_them(text: str, size: int) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1M", "20X", "16777217"])
def test_other_memory_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        memory_size(text)


def test_devices_come_in_slot_order_with_bhyves_names() -> None:
    config = GuestConfig(values("-s 31,lpc -s 4:1,nvme,x -s 0,hostbridge -s 2:4:0,ahci-hd,/d g"))
    names = [device.name for device in config.devices]
    assert names == [
        "hostbridge@pci.0.0.0",
        "nvme@pci.0.4.1",
        "lpc@pci.0.31.0",
        "ahci-hd@pci.2.4.0",
    ]


def test_memory_over_3_gib_lies_above_4_gib() -> None:
    layout = Layout(5 * GIB)
    assert layout.segments() == [(0, 0, 3 * GIB), (3 * GIB, 4 * GIB, 2 * GIB)]
    assert layout.contains(6 * GIB - 512, 512)
    assert not layout.contains(6 * GIB - 511, 512)
    assert not layout.contains(3 * GIB, 1)


def test_a_request_survives_its_packing() -> None:
    request: dict[str, str | bool | nvlist.Descriptor] = {
        "cmd": "checkpoint",
        "filename": "f",
        "suspend": True,
    }
    packed = nvlist.pack({**request, "fddir": nvlist.Descriptor(0)})
    assert packed[:3] == b"\x6c\0\0"
    size, descriptors = nvlist.unpack_header(packed[: nvlist.HEADER_BYTES])
    assert (size, descriptors) == (len(packed) - 19, 1)
    found = nvlist.unpack_pairs(packed[19:])
    assert isinstance(found.pop("fddir"), nvlist.Descriptor)
    assert found == request


@pytest.mark.parametrize("cut", [1, 18, 25, 40])
def test_a_cut_request_is_refused(cut: int) -> None:
    packed = nvlist.pack({"cmd": "checkpoint", "suspend": False})
    with pytest.raises(nvlist.NvlistError):
        nvlist.unpack_pairs(packed[19:-cut])
    with pytest.raises(nvlist.NvlistError):
        nvlist.unpack_header(b"\xff" * 19)


def test_the_register_numbers_are_the_librarys() -> None:
    from unicorn import x86_const as x86

    names = "RAX RBX RCX RDX RSI RDI RBP RSP R8 R9 R10 R11 R12 R13 R14 R15 RIP RFLAGS"
    names += " FS_BASE GS_BASE MXCSR"
    theirs = tuple(getattr(x86, f"UC_X86_REG_{name}") for name in names.split())
    assert theirs == engine.REGISTERS
    vectors = tuple(getattr(x86, f"UC_X86_REG_XMM{n}") for n in range(16))
    assert vectors == engine.VECTORS


def test_the_committed_code_is_that_of_the_source() -> None:
    needs.program("as")
    assert assemble.assemble() == program.CODE


def test_the_rom_states_its_parameters() -> None:
    wanted = Program(seed=5, is_toggling=True, fill_bytes=128 * MIB, rate_mib_per_s=2.5)
    params = params_of(build(wanted))
    assert (params.seed, params.set_pages, params.fill_pages) == (5, 16384, 32768)
    assert params.is_toggling
    assert not params.has_disk
    assert params.rate_bytes_per_s == 2.5 * MIB


def test_the_oracle_is_the_same_in_any_steps() -> None:
    params = params_of(build(Program(set_bytes=2 * MIB, fill_bytes=4 * MIB, has_disk=True)))
    oracle = Oracle(params)
    for n in (1, 2, 700, 701, 40_000):
        assert oracle.advance(n) == chain(params, n)


def test_torn_lines_are_skipped() -> None:
    text = (
        b"HB n=5 chain=00000000000000ff bad=0\nHB n=6 chain=0000\nHB n=7 chain=00000000000000fe b"
    )
    assert parse_heartbeats(text) == [Heartbeat(5, 255, 0)]


def test_the_oracle_refuses_what_the_guest_cannot_have_computed() -> None:
    params = params_of(build(Program(set_bytes=2 * MIB)))
    good = [Heartbeat(n, chain(params, n), 0) for n in (0, 10, 10, 600)]
    assert check_heartbeats(params, good).last_n == 600
    for wrong in (
        [],
        [*good, good[1]],
        [*good, Heartbeat(601, 1, 0)],
        [Heartbeat(10, good[1].chain, 1)],
    ):
        with pytest.raises(WrongHeartbeat):
            check_heartbeats(params, wrong)
