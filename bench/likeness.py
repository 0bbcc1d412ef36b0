"""What memories have in common, page by page, and what knowing it would save. Pure.

Pages are told apart by SHA-256, as a reference to another guest's memory would have to do. Zero
pages count for nothing: they are not sent anyway.
"""

import gzip
import hashlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from bmigd.chunk import MIB, PAGE_BYTES, Bytes
from bmigd.codecs import ZSTD
from bmigd.transfer.classes import Mask, chosen, promising

LEVEL = 1
DIGEST_BYTES = 32
SETUP_SECTORS_AT, SECTOR_BYTES = 0x1F1, 512  # Linux, arch/x86/boot.rst: setup_sects
NEWC_BYTES, SIZE_AT, NAME_SIZE_AT, LAST = 110, 54, 94, b"TRAILER!!!"  # cpio's header, in hex


@dataclass(frozen=True)
class Pages:
    """The pages of a memory that are not zero, and the digest of each."""

    content: bytes
    digests: list[bytes]

    @property
    def mib(self) -> float:
        """Their size."""
        return len(self.content) / MIB

    def all(self) -> Mask:
        """All of them."""
        return np.ones(len(self.digests), dtype=bool)

    def among(self, known: AbstractSet[bytes]) -> Mask:
        """Which of them are known, wherever they lie."""
        return np.array([digest in known for digest in self.digests], dtype=bool)

    def repeats(self) -> Mask:
        """Which of them have come before."""
        seen, found = set[bytes](), list[bool]()
        for digest in self.digests:
            found.append(digest in seen)
            seen.add(digest)
        return np.array(found, dtype=bool)

    def wire_mib(self, which: Mask) -> float:
        """What some of them are when they are encoded as a first round would, in MiB."""
        content = bytes(chosen(self.content, which))
        starts = range(0, len(content), MIB)
        return sum(_encoded_bytes(content[at : at + MIB]) for at in starts) / MIB


def pages_of(memory: Bytes) -> Pages:
    """Of memory; its last page may be a part of one, as that of a file is."""
    whole = bytes(memory) + bytes(-len(memory) % PAGE_BYTES)
    rows = np.frombuffer(whole, dtype=np.uint8).reshape(-1, PAGE_BYTES)
    content = bytes(chosen(whole, np.count_nonzero(rows, axis=1) > 0))
    view = memoryview(content)
    starts = range(0, len(content), PAGE_BYTES)
    return Pages(content, [hashlib.sha256(view[at : at + PAGE_BYTES]).digest() for at in starts])


def loaded(kernel: bytes, initrd: bytes) -> set[bytes]:
    """Digests of the pages that a hypervisor puts into memory to boot Linux."""
    begins = ((kernel[SETUP_SECTORS_AT] or 4) + 1) * SECTOR_BYTES
    return {*pages_of(kernel[begins:]).digests, *pages_of(initrd).digests}


def unpacked(initrd: bytes) -> set[bytes]:
    """Digests of the pages of all files in an initrd."""
    return {one for file in _files(gzip.decompress(initrd)) for one in pages_of(file).digests}


@dataclass(frozen=True)
class Saving:
    """What references would do for a guest that goes where nothing of it is."""

    sending_s: float
    saved_s: float


def saving(pages: int, wire_mib: float, rest_mib: float, mib_per_s: float) -> Saving:
    """By what goes without them, and what then; the source asks for each page by its digest."""
    asked_mib = pages * DIGEST_BYTES / MIB
    return Saving(wire_mib / mib_per_s, (wire_mib - rest_mib - asked_mib) / mib_per_s)


def _encoded_bytes(content: bytes) -> int:
    """Of whole pages, in which noise goes as it is."""
    which = promising(content)
    rest = chosen(content, which)
    encoded = ZSTD.encode(rest, LEVEL) if rest else None
    return len(content) - len(rest) + (len(encoded) if encoded else len(rest))


def _files(archive: bytes) -> Iterator[bytes]:
    """Contents of the files of a cpio archive of the kind `newc`."""
    at = 0
    while True:
        size = int(archive[at + SIZE_AT : at + SIZE_AT + 8], 16)
        name_bytes = int(archive[at + NAME_SIZE_AT : at + NAME_SIZE_AT + 8], 16)
        name = archive[at + NEWC_BYTES :][: name_bytes - 1]
        if name == LAST:
            return
        begins = _rounded(at + NEWC_BYTES + name_bytes)
        yield archive[begins : begins + size]
        at = _rounded(begins + size)


def _rounded(position: int) -> int:
    return -(-position // 4) * 4
