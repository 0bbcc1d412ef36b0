"""All bytes are zero: no payload."""

from bmigd.chunk import Bytes, CodecId
from bmigd.errors import BadBytes


class Zero:
    """All bytes are zero. The receiver never asks it for a buffer: zero chunks may be large."""

    codec_id = CodecId.ZERO

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """Zero bytes, for an empty payload."""
        if len(payload):
            raise BadBytes("CHUNK_INVALID", f"zero chunk with a payload of {len(payload)} bytes")
        return bytes(expected_bytes)
