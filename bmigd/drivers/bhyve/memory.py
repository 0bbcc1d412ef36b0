"""Guest memory of bhyve guests: the VM node, and the files of a suspend and a restore."""

from pathlib import Path

from bmigd.drivers.base import Region
from bmigd.drivers.memory import MappedMemory, SpoolMemory, file_offsets, make_file


def live_memory(node: Path, regions: tuple[Region, ...]) -> MappedMemory:
    """A running guest's memory: a VM node's offsets are guest addresses."""
    return MappedMemory(node, regions, [region.guest_address_bytes for region in regions])


def snapshot_memory(file: Path, regions: tuple[Region, ...]) -> MappedMemory:
    """A suspended guest's memory: in a snapshot the regions follow one another."""
    return MappedMemory(file, regions, file_offsets(regions))


def received_memory(
    file: Path, regions: tuple[Region, ...], image: Path | None = None
) -> SpoolMemory:
    """A new sparse file of memory, in the layout that `bhyve -r` reads, or what is in the image."""
    make_file(file, sum(region.size_bytes for region in regions), image)
    return SpoolMemory(file, regions)
