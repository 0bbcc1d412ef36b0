"""Payload encodings: one file each, and the registry."""

from bmigd.chunk import CodecId
from bmigd.codecs.base import Codec
from bmigd.codecs.delta import Delta
from bmigd.codecs.raw import Raw
from bmigd.codecs.zero import Zero
from bmigd.codecs.zstd import Zstd

ZSTD, DELTA = Zstd(), Delta()
CODECS: dict[int, Codec] = {
    CodecId.ZERO: Zero(),
    CodecId.RAW: Raw(),
    CodecId.ZSTD: ZSTD,
    CodecId.DELTA: DELTA,
}
