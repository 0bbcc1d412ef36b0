"""The bytes themselves."""

from bmigd.chunk import Bytes, CodecId
from bmigd.errors import BadBytes


class Raw:
    """The bytes themselves; nothing is copied."""

    codec_id = CodecId.RAW

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """The payload, if it has the right length."""
        if len(payload) != expected_bytes:
            raise BadBytes(
                "CHUNK_INVALID", f"raw payload of {len(payload)} bytes, expected {expected_bytes}"
            )
        return payload
