"""The three files: their form, what is refused, and what a failed checkpoint leaves."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bmigd.drivers.bhyve.snapshot import flaw_in_files
from tests.microvm.host import MIB, Host, hosts, wait_for

pytestmark = pytest.mark.slow

KERNEL = ["vhpet", "vm", "vioapic", "vlapic", "vmcx", "vatpit", "vatpic", "vpmtmr", "vrtc"]


def suspended(host: Host, path: Path, *extra: str) -> Path:
    guest = host.start(*extra)
    guest.reach(200)
    assert host.suspend(guest, path) == 0
    return path


def meta_of(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(f"{path}.meta").read_text())
    return found


def test_the_files_have_the_documented_form(host: Host, tmp_path: Path) -> None:
    slots = (
        "-c",
        "cpus=2,sockets=1,cores=2,threads=1",
        "-s",
        "3,virtio-net,tap0",
        "-s",
        "5:1,virtio-rnd",
        "-SC",
    )
    path = suspended(host, tmp_path / "s", *slots)
    assert path.stat().st_size == 32 * MIB
    for name in ("s", "s.kern", "s.meta"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
    meta = json.loads((tmp_path / "s.meta").read_text())
    assert list(meta) == ["basic metadata", "kern_structs", "devices"]
    basic = {"ncpus": 2, "vmname": "g", "memsize": 32 * MIB, "memflags": 3}
    assert meta["basic metadata"] == basic
    assert [entry["device"] for entry in meta["kern_structs"]] == KERNEL
    assert [entry["device"] for entry in meta["devices"]] == [
        "hostbridge@pci.0.0.0",
        "virtio-net@pci.0.3.0",
        "virtio-rnd@pci.0.5.1",
        "lpc@pci.0.31.0",
        "atkbdc",
    ]
    end = 0
    for entry in meta["kern_structs"] + meta["devices"]:
        assert entry["file_offset"] == end
        assert entry["size"] > 0
        end += entry["size"]
    assert (tmp_path / "s.kern").stat().st_size == end
    assert flaw_in_files(path, "g", 32 * MIB) == ""  # the driver takes it


def test_a_suspend_removes_the_node_and_leaves_the_socket(host: Host, tmp_path: Path) -> None:
    suspended(host, tmp_path / "s")
    assert not host.node("g").exists()
    assert host.socket("g").exists()
    refused = host.control("--vm=g", f"--suspend={tmp_path / 's'}")
    assert refused.returncode == 1
    assert "could not be opened" in refused.stderr


def test_the_ram_file_is_the_memory(host: Host, tmp_path: Path) -> None:
    guest = host.start()
    guest.reach(200)
    with host.node("g").open("rb") as node:  # open while it lives, read when it is gone
        assert host.suspend(guest, tmp_path / "s") == 0
        assert node.read() == (tmp_path / "s").read_bytes()


@pytest.mark.parametrize("emulation", ["nvme", "virtio-console"])
def test_an_unsaveable_device_fails_the_checkpoint_after_memory_was_written(
    host: Host, tmp_path: Path, emulation: str
) -> None:
    guest = host.start("-s", f"6,{emulation},x")
    guest.reach(100)
    assert host.control("--vm=g", f"--suspend={tmp_path / 's'}").returncode == 0
    wait_for(lambda: "Failed to snapshot" in guest.errors(), "message")
    assert (tmp_path / "s").stat().st_size == 32 * MIB
    assert not (tmp_path / "s.meta").exists()
    guest.reach(guest.heartbeats()[-1].n + 100)


def test_restore_takes_name_and_processors_from_the_index(host: Host, tmp_path: Path) -> None:
    path = suspended(host, tmp_path / "s", "-c", "2")
    host.socket("g").unlink()
    guest = host.run("-r", str(path), *host.command("g", "16M")[:-1])
    wait_for(host.socket("g").exists, "socket")
    wait_for(lambda: host.node("g").stat().st_size == 32 * MIB, "node of the saved size")
    title = wait_for(lambda: Path(f"/proc/{guest.process.pid}/cmdline").read_bytes(), "title")
    assert title.split(b"\0")[0].rstrip() == b"bhyve: g"
    assert host.suspend(guest, tmp_path / "t") == 0
    assert meta_of(tmp_path / "t")["basic metadata"] == meta_of(path)["basic metadata"]


def test_topology_and_memory_flags_are_those_of_the_command_line(
    host: Host, tmp_path: Path
) -> None:
    path = suspended(host, tmp_path / "s", "-S", "-c", "cpus=4,sockets=2,cores=2")
    assert not (host.home / "vcpus/g").exists()
    guest = host.start("-C", "-c", "sockets=1,cores=2", "-r", str(path))
    asked = host.control("--vm=g", "--get-cpu-topology", "--get-active-cpus").stdout
    assert asked.splitlines() == [
        "cpu_topology:\tsockets=1, cores=2, threads=1, maxcpus=64",
        "active cpus:\t 0, 1, 2, 3",
    ]
    assert host.suspend(guest, tmp_path / "t") == 0
    basic = {"ncpus": 4, "vmname": "g", "memsize": 32 * MIB}
    assert meta_of(path)["basic metadata"] == {**basic, "memflags": 2}
    assert meta_of(tmp_path / "t")["basic metadata"] == {**basic, "memflags": 1}


def test_a_given_name_wins(host: Host, tmp_path: Path) -> None:
    path = suspended(host, tmp_path / "s")
    host.start("-r", str(path), name="other")
    assert host.node("other").exists()
    assert not host.node("g").exists()


def test_a_zero_page_stays_a_hole(host: Host, tmp_path: Path) -> None:
    guest = host.start(memory="256M")
    guest.reach(100)
    assert host.suspend(guest, tmp_path / "s") == 0
    host.start("-r", str(tmp_path / "s"), memory="256M")
    assert host.node("g").stat().st_blocks * 512 < 16 * MIB


def broken(path: Path, how: str) -> None:
    meta = json.loads(Path(f"{path}.meta").read_text())
    match how:
        case "json":
            Path(f"{path}.meta").write_text("{")
        case "no-meta":
            Path(f"{path}.meta").unlink()
        case "memory":
            with path.open("ab") as memory:
                memory.write(b"x")
        case "structure":
            meta["kern_structs"] = [e for e in meta["kern_structs"] if e["device"] != "vmcx"]
        case "empty-structure":
            next(e for e in meta["kern_structs"] if e["device"] == "vrtc")["size"] = 0
        case "device":
            meta["devices"] = [e for e in meta["devices"] if not e["device"].startswith("lpc")]
        case "empty-device":
            next(e for e in meta["devices"] if e["device"].startswith("host"))["size"] = 0
        case "outside":
            meta["devices"][0]["file_offset"] = 1 << 40
    if how in ("structure", "empty-structure", "device", "empty-device", "outside"):
        Path(f"{path}.meta").write_text(json.dumps(meta))


REFUSALS = {
    "json": (1, "Failed to read checkpoint info"),
    "no-meta": (1, "Failed to read checkpoint info"),
    "memory": (1, "mem size mismatch"),
    "structure": (65, "vmcx is missing or empty"),
    "empty-structure": (65, "vrtc is missing or empty"),
    "device": (1, "lpc@pci.0.31.0"),
    "empty-device": (1, "hostbridge@pci.0.0.0"),
    "outside": (1, "outside of the file"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good snapshot to break copies of."""
    path = tmp_path_factory.mktemp("w")
    with hosts(path / "h") as host:
        return suspended(host, path / "s")


@pytest.mark.parametrize("how", REFUSALS)
def test_a_snapshot_that_is_not_whole_is_refused(
    host: Host, whole: Path, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "s"
    for suffix in ("", ".kern", ".meta"):
        Path(f"{path}{suffix}").write_bytes(Path(f"{whole}{suffix}").read_bytes())
    broken(path, how)
    status, message = REFUSALS[how]
    guest = host.run("-r", str(path), *host.command("g"))
    assert guest.status() == status
    assert message in guest.errors()
    assert not host.socket("g").exists()


def test_a_device_that_was_not_saved_is_refused(host: Host, whole: Path) -> None:
    guest = host.run("-s", "9,virtio-rnd", "-r", str(whole), *host.command("g"))
    assert guest.status() == 1
    assert "virtio-rnd@pci.0.9.0" in guest.errors()


def test_a_path_over_250_bytes_is_refused(host: Host) -> None:
    guest = host.run("-r", "/" + "x" * 250, *host.command("g"))
    assert guest.status() == 1
    assert "maximum length" in guest.errors()
