"""One Zstandard frame of bytes XOR those that the destination has in their place.

The receiver puts both together; a base that is not the one that was meant fails the chunk's digest.
"""

from bmigd.chunk import CodecId
from bmigd.codecs.zstd import Zstd


class Delta(Zstd):
    """What changed, which is mostly zeroes."""

    codec_id = CodecId.DELTA
    levels: tuple[int, ...] = (1,)
