"""Which pages of a chunk each of its sections has: a bit for each page. Pure.

Rule: every page of a chunk is in one section, so what is decoded is all of the chunk and nothing is
left of what was in the buffer before.
"""

from collections.abc import Sequence

import numpy as np

from bmigd.chunk import Section
from bmigd.errors import BadBytes
from bmigd.transfer.classes import Mask


def bits_of(mask: Mask) -> bytes:
    """As they travel: the lowest bit of each byte first."""
    return np.packbits(mask, bitorder="little").tobytes()


def masks_of(sections: Sequence[Section], pages: int) -> list[Mask]:
    """Which of so many pages each section has; BadBytes (CHUNK_INVALID) if not each is in one."""
    if len(sections) == 1 and not sections[0].pages:
        return [np.ones(pages, dtype=bool)]
    masks = [_mask_of(one.pages, pages) for one in sections]
    if not (np.sum(masks, axis=0) == 1).all() or not all(mask.any() for mask in masks):
        raise BadBytes("CHUNK_INVALID", "its sections are not each page once")
    return masks


def _mask_of(bits: bytes, pages: int) -> Mask:
    """Bits after the last page are 0, so that there is one way to say it."""
    if len(bits) != -(-pages // 8):
        raise BadBytes("CHUNK_INVALID", f"a section names its pages in {len(bits)} bytes")
    spread = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
    if spread[pages:].any():
        raise BadBytes("CHUNK_INVALID", "a section has pages that the chunk does not have")
    return spread[:pages].view(bool)
