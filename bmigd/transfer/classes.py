"""Which pages are worth encoding, by a look at some of their bytes. Pure.

Noise (what is encrypted or encoded already) makes an encoder slower, and what is encoded together
with it larger. A wrong guess costs bytes or time, nothing else.
"""

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES, Bytes
from bmigd.transfer.runs import Pages

Mask = npt.NDArray[np.bool_]  # one for each page

FIRST, EVERY = 32, 64  # bytes of a page that are looked at: 64 of them
# Of 64 random bytes 32 have the highest bit set, give or take 4, and seldom more than one is zero.
FEW_HIGH, MANY_HIGH, MANY_ZEROES = 22, 42, 3


def promising(content: Bytes) -> Mask:
    """Which pages of whole pages do not look like noise."""
    sample = np.frombuffer(content, dtype=np.uint8).reshape(-1, PAGE_BYTES)[:, FIRST::EVERY]
    high = np.count_nonzero(sample >= 128, axis=1)
    zeroes = np.count_nonzero(sample == 0, axis=1)
    mask: Mask = (high < FEW_HIGH) | (high > MANY_HIGH) | (zeroes >= MANY_ZEROES)
    return mask


def chosen(content: Bytes, pages: Mask | Pages) -> memoryview:
    """Copies of some of the pages, one after the other."""
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, PAGE_BYTES)[pages].reshape(-1).data
