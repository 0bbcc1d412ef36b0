"""One Zstandard frame; it states its content size, checked before anything is allocated."""

import threading

import zstandard

from bmigd.chunk import Bytes, CodecId
from bmigd.errors import BadBytes

PAYS_BELOW = 0.9  # of the original size; more is not worth the receiver's time


class Zstd:
    """Zstandard, from a fast level (a negative one) to a usual one."""

    codec_id = CodecId.ZSTD
    levels: tuple[int, ...] = (-5, 1, 3)  # how hard it can try, the fastest first

    def __init__(self) -> None:
        self._local = threading.local()  # contexts are costly to make and not thread-safe

    def encode(self, content: Bytes, level: int) -> bytes | None:
        """One frame, if it is clearly smaller."""
        encoded: bytes = self._compressor(level).compress(content)
        return encoded if len(encoded) < PAYS_BELOW * len(content) else None

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """The frame's content, if it states and has exactly the right size."""
        try:
            stated = zstandard.frame_content_size(payload)
            if stated != expected_bytes:
                raise BadBytes(
                    "CHUNK_INVALID", f"zstd frame states {stated} bytes, expected {expected_bytes}"
                )
            content = self._decompressor().decompress(
                payload, max_output_size=expected_bytes, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise BadBytes("CHUNK_INVALID", f"zstd frame is damaged: {error}") from error
        if len(content) != expected_bytes:
            raise BadBytes("CHUNK_INVALID", f"zstd frame held {len(content)} bytes")
        return content

    def _compressor(self, level: int) -> zstandard.ZstdCompressor:
        compressors = getattr(self._local, "compressors", None)
        if compressors is None:
            compressors = self._local.compressors = {}
        if level not in compressors:
            compressors[level] = zstandard.ZstdCompressor(level=level)
        made: zstandard.ZstdCompressor = compressors[level]
        return made

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        decompressor = getattr(self._local, "decompressor", None)
        if decompressor is None:
            # The window bounds memory beside the content: a chunk never needs more.
            decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23)
            self._local.decompressor = decompressor
        return decompressor
