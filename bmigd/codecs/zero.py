"""All bytes are zero: no payload."""

from collections.abc import Sequence

from bmigd.chunk import Bytes, CodecId
from bmigd.errors import BadBytes


class Zero:
    """All bytes are zero. The receiver never asks it for a buffer: zero chunks may be large."""

    codec_id = CodecId.ZERO
    levels: tuple[int, ...] = (0,)

    def encode(self, parts: Sequence[Bytes], level: int) -> tuple[Bytes, ...] | None:
        """Nothing, if every byte is zero."""
        return () if not any(bytes(part).strip(b"\0") for part in parts) else None

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """Zero bytes, for an empty payload."""
        if len(payload):
            raise BadBytes("CHUNK_INVALID", f"zero chunk with a payload of {len(payload)} bytes")
        return bytes(expected_bytes)
