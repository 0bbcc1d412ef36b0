"""The hash of each page, in one place for the daemon and for the processes that help it, which do
without an array library to start soon.
"""

import xxhash

from bmigd.chunk import PAGE_BYTES, Bytes


def page_digests(content: Bytes, seed: int) -> list[int]:
    """XXH3-64 of each page of content, whose length is a multiple of the page size."""
    digest, view = xxhash.xxh3_64_intdigest, memoryview(content)
    return [digest(view[at : at + PAGE_BYTES], seed) for at in range(0, len(view), PAGE_BYTES)]
