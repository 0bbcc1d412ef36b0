"""The hash of each page or block, in one place for the daemon and for the processes that help it,
which do without an array library to start soon.
"""

from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from bmigd.chunk import Bytes


def digests(content: "Bytes", seed: int, unit_bytes: int) -> list[int]:
    """XXH3-64 of each page, or larger unit, of content, whose length is a multiple of it."""
    digest, view = xxhash.xxh3_64_intdigest, memoryview(content)
    return [digest(view[at : at + unit_bytes], seed) for at in range(0, len(view), unit_bytes)]
