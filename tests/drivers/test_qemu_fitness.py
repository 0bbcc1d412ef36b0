"""What is not fit is found before anything is copied: a QEMU that lacks something, a guest whose
memory is not ours, a KVM that is slow.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bmigd.config import Qemu
from bmigd.drivers.qemu import programs, saving
from bmigd.drivers.qemu.monitor import session
from bmigd.errors import LocalFault, NotPossible
from tests import qemu
from tests.drivers.qemu_bed import QemuBed, ask, supervision_of

pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture(name="bed")
def make_bed() -> Iterator[QemuBed]:
    """Nodes with QEMU."""
    bed = QemuBed()
    try:
        yield bed
    finally:
        bed.close()


async def test_memory_that_is_not_shared_is_found_before_anything_is_copied(bed: QemuBed) -> None:
    node = bed.node("a")
    lying = node.directory / "unshared"
    lying.write_text(
        '#!/bin/bash\nexec "$REAL" "${@/share=on/share=off}"\n'.replace(
            '"$REAL"', str(node.settings["qemu"])
        )
    )
    lying.chmod(0o700)
    node.again(qemu=lying)
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    with pytest.raises(NotPossible, match="not one shared file") as refused:
        await guest.open()
    assert refused.value.reason == "GUEST_NOT_MIGRATABLE"
    await node.beats_on()


async def test_a_stream_that_is_too_long_is_cut_and_the_guest_goes_on(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    await supervision_of(node).expect_suspend()
    async with session(node.run / "web1/qmp") as monitor:
        await monitor.ask("stop")
        with pytest.raises(LocalFault) as refused:
            await saving.save(monitor, node.directory / "state", 1000)
    assert refused.value.reason == "MEMORY_NOT_SHARED"
    await guest.resume()
    await node.beats_on()
    (await guest.suspend()).memory.close()
    await guest.resume()


async def test_a_guest_that_qemu_cannot_move_is_refused_with_its_words(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    await ask(node, "blockdev-add", driver="null-co", node_name="x", read_only=False)
    await ask(node, "object-add", qom_type="memory-backend-ram", id="more", size=1 << 20)
    with pytest.raises(NotPossible, match="not one shared file"):
        await node.driver.outgoing(bed.definition).open()


async def test_memory_is_private_and_all_reserved(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    file = node.spool / "web1.qemu/ram"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_blocks * 512 == bed.definition.memory_bytes
    for socket in ("qmp", "qmp.real"):
        assert (node.run / "web1" / socket).stat().st_mode & 0o077 == 0


# Programs


def fake(directory: Path, text: str) -> Qemu:
    """A program in the place of QEMU."""
    path = directory / "qemu"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return Qemu(qemu=path, accel="tcg")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo no such machine >&2; exit 1", "no such machine"),
        ("echo nonsense", "cannot be asked what it is: it does not answer as QEMU does"),
        ("exit 0", "cannot be asked what it is: it does not answer as QEMU does"),
        (f"exec {qemu.program()} $@ | sed s/x-ignore-shared/x-other/", "lacks x-ignore-shared"),
    ],
)
def test_a_qemu_that_is_not_fit_is_told_with_the_reason(
    tmp_path: Path, text: str, words: str
) -> None:
    facts = programs.probe(fake(tmp_path, text)).facts
    assert words in facts.problem
    assert (facts.can_snapshot, facts.build) == (False, "")


def test_a_missing_qemu_is_told(tmp_path: Path) -> None:
    problem = programs.probe(Qemu(qemu=tmp_path / "qemu")).facts.problem
    assert problem.endswith("cannot be asked what it is: no such file or directory")


def test_the_build_names_version_and_accelerator() -> None:
    build = programs.probe(Qemu(qemu=qemu.program(), accel="tcg")).facts.build
    assert build.startswith("QEMU ")
    assert build.endswith(", tcg")


@pytest.mark.parametrize(
    ("text", "is_fast"), [("exit 3", True), ("exit 1", False), ("sleep 9", False)]
)
def test_kvm_is_used_only_where_a_guest_counts_fast(
    tmp_path: Path, text: str, *, is_fast: bool
) -> None:
    device = tmp_path / "kvm"
    assert not programs.is_kvm_fast(fake(tmp_path, text).qemu, device)
    device.touch()
    assert programs.is_kvm_fast(fake(tmp_path, f"exec {text}"[5:]).qemu, device) == is_fast


def test_what_counts_ends_qemu_with_its_status(tmp_path: Path) -> None:
    """By the slow way, which every machine has: the program itself is right."""
    device = tmp_path / "kvm"
    device.touch()
    text = f'exec {qemu.program()} "$(echo)" $(echo "$@" | sed "s/-accel kvm/-accel tcg/")'
    slow = fake(tmp_path, text.replace(' "$(echo)"', ""))
    assert programs.is_kvm_fast(slow.qemu, device)
